begin;
select plan(13);

select tests.create_user(name) from unnest(array['olga', 'bob', 'root']) name;
select tests.create_tenant('acme', 'trial');
select tests.create_tenant('rival', 'trial');
select tests.add_member('acme', 'olga', 'owner');
select tests.add_member('rival', 'bob', 'owner');
insert into public.platform_admins (user_id) values (tests.user_id('root'));
create function pg_temp.fault(p_from timestamptz default '-infinity', p_to timestamptz default 'infinity') returns text
language sql as $$
  select tests.error_of(format('select recompute_usage_metrics(%L, %L)', p_from, p_to))
$$;

select tests.act_as_user('root');
select is(pg_temp.fault(), null, 'a platform admin counts anew');
select is(pg_temp.fault(now() - interval '1 day', now()), null, 'any range');
select is(pg_temp.fault(now(), now()), null, 'an empty one, too');
select is(pg_temp.fault(null), 'PT400 invalid_range', 'which has a beginning');
select is(pg_temp.fault(now(), null), 'PT400 invalid_range', 'and an end');
select is(pg_temp.fault(now(), now() - interval '1 second'), 'PT400 invalid_range', 'that is not before it');
select is(tests.error_of('select aggregate_usage_metrics()'), '42501', 'but passes are not theirs');
select tests.act_as_service_role();
select is(pg_temp.fault(), null, 'the service role does, too');
select is(tests.error_of('select aggregate_usage_metrics()'), null, 'and passes');
select tests.act_as_user('olga');
select is(pg_temp.fault(), 'PT403 platform_admin_only', 'an owner does not');
select is(tests.error_of('select aggregate_usage_metrics()'), '42501', 'nor pass');
select tests.act_as_user('bob', '{"role": "service_role"}');
select is(pg_temp.fault(), 'PT403 platform_admin_only', 'nor with a forged claim');
select tests.act_as_anon();
select is(concat(pg_temp.fault(), tests.error_of('select aggregate_usage_metrics()')), '4250142501', 'nor does anon');

select * from finish();
rollback;
