begin;
select plan(24);

-- Waited for at first, holding nothing; and no test that waits for these holds a name or a lock that is needed below.
select pg_advisory_xact_lock(hashtext('meterbase.seal_audit_events'));
lock table only public.audit_events in access exclusive mode;
create function pg_temp.month(p_ago int) returns timestamptz language sql as $$
  select (date_trunc('month', now() at time zone 'UTC') - make_interval(months => p_ago)) at time zone 'UTC'
$$;
create function pg_temp.make_month(p_ago int) returns void language plpgsql as $$
declare
  v_name text := to_char(pg_temp.month(p_ago) at time zone 'UTC', '"audit_events_y"YYYY"m"MM');
begin
  execute format('create table private.%I (like public.audit_events including all)', v_name);
  execute format('alter table public.audit_events attach partition private.%I for values from (%L) to (%L)',
    v_name, pg_temp.month(p_ago), pg_temp.month(p_ago - 1));
end
$$;
create function pg_temp.months() returns int[] language sql as $$
  select array_agg((extract(year from age) * 12 + extract(month from age))::int order by starts_at)
  from private.audit_partitions(), age(pg_temp.month(0) at time zone 'UTC', starts_at at time zone 'UTC') age
  where starts_at <= now()
$$;
create function pg_temp.write(p_ago int, p_type text, p_tenant uuid default tests.tenant_id('acme')) returns uuid
language plpgsql as $$
declare
  v_event public.audit_events := private.new_audit_event(p_tenant, p_type, 'x');
begin
  v_event.event_id := gen_random_uuid();
  v_event.occurred_at := pg_temp.month(p_ago) + interval '10 days';
  insert into public.audit_events values (v_event.*);
  insert into private.audit_unsealed (event_id, occurred_at, tenant_id, digest)
  values (v_event.event_id, v_event.occurred_at, coalesce(p_tenant, private.no_tenant()), private.audit_digest(v_event));
  return v_event.event_id;
end
$$;
create function pg_temp.problems(p_tenant text default 'acme') returns jsonb language sql as $$
  select problems from verify_audit_chain(tests.tenant_id(p_tenant))
$$;
set local timezone = 'America/New_York'; -- months are those of UTC, whatever the session's time zone
select pg_temp.make_month(m) from unnest(array[30, 26, 25, 24, 23, 2, 1]) m;
select pg_temp.write(m, 'm' || m) from unnest(array[30, 26, 25, 24, 2, 1]) m;
select pg_temp.write(30, 'm30', null);
select resolve_audit_event(event_id) from public.audit_events where event_type in ('m30', 'm24');

select is(pg_temp.months(), array[30, 26, 25, 24, 23, 2, 1, 0], 'of the months that there are');
select is((select cleanup_old_audit_events()), 3, 'those go that ended 2 years ago');
select is(pg_temp.months(), array[24, 23, 2, 1, 0], 'the month that has not ended before that stays');
select is((select events_since from private.audit_retention), pg_temp.month(24), 'since when all events are there is noted');
select results_eq(
  $$ select event_type from public.audit_events where event_type like 'm%' and action = 'x' order by occurred_at $$, $$ values ('m24'), ('m2'), ('m1') $$,
  'whole months are gone, and nothing else'
);
select is((select count(*) from public.audit_resolutions), 1::bigint, 'so are the resolutions of their events');
select is_empty('select from private.audit_unsealed where occurred_at < now() - interval ''1 minute''', 'what waited was sealed before');
select is(pg_temp.problems(), '[]', 'what is left is whole');
select is((select problems from verify_audit_chain(null)), '[]', 'also of no tenant');
select results_eq(
  $$ select min(c.seq), h.pruned_seq from private.audit_chain c join private.audit_heads h using (tenant_id)
     where tenant_id = tests.tenant_id('acme') group by 2 $$,
  'values (3::bigint, 2::bigint)', 'it begins with the last link that lost its event'
);
select is(
  (select is_intact from private.audit_heads h, verify_audit_chain(h.tenant_id, h.pruned_seq, encode(h.pruned_hash, 'hex'))
   where h.tenant_id = tests.tenant_id('acme')), true, 'after the hash that was before it'
);
select is(
  (select is_intact from private.audit_chain c, verify_audit_chain(c.tenant_id, c.seq, encode(c.hash, 'hex'))
   where c.tenant_id = tests.tenant_id('acme') and c.seq = 4), true, 'an end that was kept is still compared'
);

create temp table before as select h.*, (select count(*) from private.audit_chain) as links from private.audit_heads h;
select is((select cleanup_old_audit_events()), 0, 'again, nothing is old');
select set_eq('select *, (select count(*) from private.audit_chain) from private.audit_heads', 'select * from before', 'and nothing changes');

select private.audit(tests.tenant_id('acme'), 'x', 'x') from generate_series(1, 2);
select private.seal_audit_events();
select is(pg_temp.problems(), '[]', 'the chain goes on');
delete from public.audit_events where event_type = 'm24';
select is(pg_temp.problems() -> 0 ->> 'problem', 'event_deleted', 'and an event that is gone for no month is missed');
select is(jsonb_array_length(pg_temp.problems()), 1, 'alone');
delete from private.audit_chain c where c.occurred_at = pg_temp.month(24) + interval '10 days';
select isnt(pg_temp.problems(), '[]', 'as is its link');
set local timezone = 'UTC';
select cleanup_old_audit_events(now() - pg_temp.month(22));

select is((select cleanup_old_audit_events(now() - pg_temp.month(1) + interval '1 microsecond')), 0, 'a month stays until it ended so long ago');
select is((select cleanup_old_audit_events(now() - pg_temp.month(1))), 1, 'and then goes');
select is((select cleanup_old_audit_events('0')), 1, 'nothing older than the month under way can be kept');
select is(pg_temp.months(), array[0], 'which stays');
select is((select events_since from private.audit_retention), pg_temp.month(0), 'as is noted');
select is((select bool_and(is_intact) from unnest(array[tests.tenant_id('rival'), null]) t, verify_audit_chain(t)), true, 'the others are whole');

select * from finish();
rollback;
