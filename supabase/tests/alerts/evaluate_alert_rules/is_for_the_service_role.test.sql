begin;
select plan(5);

update public.alert_rules set enabled = false;
select tests.create_user(u) from unnest(array['olga', 'root']) u;
select tests.create_tenant('acme', 'free');
select tests.add_member('acme', 'olga', 'owner');
insert into public.platform_admins (user_id) values (tests.user_id('root'));

select is(tests.error_of('select evaluate_alert_rules()'), null, 'pg_cron evaluates');
select tests.act_as_service_role();
select is(tests.error_of('select evaluate_alert_rules(now())'), null, 'and the service role');
select tests.act_as_user('root');
select is(tests.error_of('select evaluate_alert_rules()'), '42501', 'no platform admin');
select tests.act_as_user('olga', '{"role": "service_role"}');
select is(tests.error_of('select evaluate_alert_rules()'), '42501', 'no member, with a forged token neither');
select tests.act_as_anon();
select is(tests.error_of('select evaluate_alert_rules()'), '42501', 'nor anon');

select * from finish();
rollback;
