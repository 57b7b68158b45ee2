begin;
select plan(8);

select tests.create_user(name) from unnest(array['vic', 'bob', 'eve', 'root']) name;
select tests.create_tenant('acme', 'trial');
select tests.create_tenant('rival', 'trial');
select tests.add_member('acme', 'vic', 'viewer');
select tests.add_member('rival', 'bob', 'owner');
insert into public.platform_admins (user_id) values (tests.user_id('root'));
select record_usage(tests.tenant_id(name), '[{"event_id": "a", "event_type": "search"}]') from unnest(array['acme', 'rival']) name;
prepare seen as select tenant_id from public.tenant_usage_realtime;

select tests.act_as_user('vic');
select set_eq('seen', array[tests.tenant_id('acme')], 'a viewer reads their tenant''s events');
select is_empty(
  $$ select from public.tenant_usage_realtime where tenant_id = tests.tenant_id('rival') $$, 'and no other''s, by name'
);
select tests.act_as_user('bob');
select set_eq('seen', array[tests.tenant_id('rival')], 'another tenant''s owner reads that tenant''s');
select tests.act_as_user('eve');
select is_empty('seen', 'a stranger reads none');
select tests.act_as_user('eve', '{"role": "service_role"}');
select is_empty('seen', 'nor with a forged claim');
select tests.act_as_user('root');
select set_eq('seen', array[tests.tenant_id('acme'), tests.tenant_id('rival')], 'a platform admin reads all');
select tests.act_as_service_role();
select set_eq('seen', array[tests.tenant_id('acme'), tests.tenant_id('rival')], 'so does the service role');
select tests.act_as_anon();
select throws_ok('seen', '42501', null, 'anon reads none');

select * from finish();
rollback;
