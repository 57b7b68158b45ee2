begin;
select plan(9);

select tests.create_user(name) from unnest(array['ann', 'vic', 'root']) name;
select tests.create_tenant('acme', 'trial');
select tests.create_tenant('rival', 'trial');
select tests.create_tenant('team', 'trial');
select tests.add_member('acme', 'ann', 'editor');
select tests.add_member('team', 'ann', 'owner');
select tests.add_member('acme', 'vic', 'viewer');
select tests.add_member('team', 'vic', 'editor');
insert into public.platform_admins (user_id) values (tests.user_id('root'));
create function pg_temp.fault(p_tenants text[]) returns text language sql as $$
  select tests.error_of(format('select consume_quota_batches(%L)', (
    select jsonb_agg(jsonb_build_object('tenant_id', tests.tenant_id(t), 'metric', 'tokens', 'amounts', array[1])) from unnest(p_tenants) t
  )))
$$;

select tests.act_as_user('ann');
select is(pg_temp.fault('{acme, team}'), null, 'a member of both');
select is(pg_temp.fault('{acme, rival}'), 'PT403 permission_denied', 'not where one is another''s');
select is(pg_temp.fault('{rival, acme}'), 'PT403 permission_denied', 'wherever it stands');
select tests.act_as_user('ann', '{"role": "service_role"}');
select is(pg_temp.fault('{acme, rival}'), 'PT403 permission_denied', 'with a forged claim, too');
select tests.act_as_user('vic');
select is(pg_temp.fault('{team, acme}'), 'PT403 permission_denied', 'nor where the caller only views');
select tests.act_as_user('root');
select is(pg_temp.fault('{acme, rival, team}'), null, 'a platform admin everywhere');
select tests.act_as_service_role();
select is(pg_temp.fault('{acme, rival, team}'), null, 'so the service role');
select tests.act_as_anon();
select is(pg_temp.fault('{acme}'), '42501', 'anon may not call');
select tests.act_as_owner();
select set_eq(
  'select tenant_id, used from tests.quota_counters',
  $$ values (tests.tenant_id('acme'), 3::bigint), (tests.tenant_id('rival'), 2), (tests.tenant_id('team'), 3) $$,
  'who was refused took nothing'
);

select * from finish();
rollback;
