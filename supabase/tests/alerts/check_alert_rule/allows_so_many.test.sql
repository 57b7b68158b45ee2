begin;
select plan(9);

select tests.create_tenant(t, 'free') from unnest(array['acme', 'globex']) t;
create function pg_temp.rule(p_tenant text) returns text language sql as $$
  select tests.error_of(format('insert into public.alert_rules (tenant_id, name, type) values (%L, %L, %L)', tests.tenant_id(p_tenant), 'r', 'usage_threshold'))
$$;
create function pg_temp.channel(p_tenant text) returns text language sql as $$
  select tests.error_of(format('insert into public.alert_channels (tenant_id, name, type) values (%L, %L, %L)', tests.tenant_id(p_tenant), 'c', 'console'))
$$;

select is((select count(*) from generate_series(1, 51) where pg_temp.rule('acme') is null), 50::bigint, 'a tenant has up to fifty rules');
select is(pg_temp.rule('acme'), 'PT409 too_many_alert_rules', 'and no more');
select is(pg_temp.rule('globex'), null, 'another its own');
select is((select count(*) from generate_series(1, 101) where pg_temp.rule(null) is null), 101::bigint, 'the operator any number');
select is(tests.error_of('update public.alert_rules set enabled = false'), null, 'those that there are can be changed');
delete from public.alert_rules where id = (select id from public.alert_rules where tenant_id = tests.tenant_id('acme') limit 1);
select is(pg_temp.rule('acme'), null, 'one that is deleted makes room');

select is((select count(*) from generate_series(1, 21) where pg_temp.channel('acme') is null), 20::bigint, 'a tenant has up to twenty channels');
select is(pg_temp.channel('acme') || coalesce(pg_temp.channel('globex'), '') || coalesce(pg_temp.channel(null), ''), 'PT409 too_many_alert_channels', 'each of its own');
select is(tests.error_of('update public.alert_channels set enabled = true, config = config'), null, 'those that there are can be changed');

select * from finish();
rollback;
