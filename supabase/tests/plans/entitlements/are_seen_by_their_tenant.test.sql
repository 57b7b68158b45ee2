begin;
select plan(9);

select tests.create_user('vic');
select tests.create_user('eve');
select tests.create_user('root');
select tests.create_tenant('acme', 'trial');
select tests.create_tenant('rival', 'trial');
select tests.add_member('acme', 'vic', 'viewer');
insert into public.platform_admins (user_id) values (tests.user_id('root'));
insert into public.tenant_limits (tenant_id, metric, period, limit_value)
values (tests.tenant_id('acme'), 'seats', 'none', 1), (tests.tenant_id('rival'), 'seats', 'none', 2);
prepare seen as select tenant_id, count(*) from public.entitlements group by tenant_id;

select tests.act_as_user('vic');
select set_eq('seen', $$ values (tests.tenant_id('acme'), 5::bigint) $$, 'a viewer sees their tenant''s, and no others');
select set_eq('select limit_value from public.tenant_limits', array[1::bigint], 'of the overrides, too');
select tests.act_as_user('eve');
select is_empty('seen', 'a stranger sees none');
select tests.act_as_user('eve', '{"role": "service_role"}');
select is_empty('seen', 'nor with a forged claim');
select is_empty('select from public.tenant_limits', 'nor an override');
select tests.act_as_user('root');
select set_eq(
  'seen', $$ values (tests.tenant_id('acme'), 5::bigint), (tests.tenant_id('rival'), 5) $$, 'a platform admin sees all'
);
select tests.act_as_service_role();
select set_eq(
  'seen', $$ values (tests.tenant_id('acme'), 5::bigint), (tests.tenant_id('rival'), 5) $$, 'so does the service role'
);
select tests.act_as_anon();
select throws_ok('seen', '42501', null, 'anon sees none');
select throws_ok('select from public.tenant_limits', '42501', null, 'nor an override');

select * from finish();
rollback;
