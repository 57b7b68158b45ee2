begin;
select plan(15);

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
create function pg_temp.write(p_tenant text, p_ago int) returns void language plpgsql as $$
declare
  v_event public.audit_events := private.new_audit_event(tests.tenant_id(p_tenant), 'x', 'x');
begin
  v_event.event_id := gen_random_uuid();
  v_event.occurred_at := pg_temp.month(p_ago);
  insert into public.audit_events values (v_event.*);
  insert into private.audit_unsealed (event_id, occurred_at, tenant_id, digest)
  values (v_event.event_id, v_event.occurred_at, v_event.tenant_id, private.audit_digest(v_event));
  perform private.seal_audit_events();
end
$$;
create function pg_temp.links(p_tenant text) returns text language sql as $$
  select string_agg(seq::text, ' ' order by seq) from private.audit_chain where tenant_id = tests.tenant_id(p_tenant)
$$;
create function pg_temp.problems(p_tenant text) returns jsonb language sql as $$
  select problems from verify_audit_chain(tests.tenant_id(p_tenant))
$$;
select pg_temp.make_month(m) from unnest(array[40, 30, 3, 2, 1]) m;
-- In the order of their sealing: transactions that were open long end late.
select pg_temp.write('mixed', m) from unnest(array[40, 30, 40, 3, 30, 1, 40, 1]) m;
select pg_temp.write('late', m) from unnest(array[1, 40, 30]) m;
select pg_temp.write('old', m) from unnest(array[40, 30]) m;
select pg_temp.write('one', 40);
select pg_temp.write('young', m) from unnest(array[3, 1]) m;

select is((select cleanup_old_audit_events()), 2, 'two months go');
select is(pg_temp.links('mixed'), '3 4 5 6 7 8', 'links go up to the first event that stays, but for the one before it');
select is(pg_temp.problems('mixed'), '[]', 'links behind it need no event any more');
select is(pg_temp.links('late'), '1 2 3', 'none goes that was sealed after it');
select is(pg_temp.problems('late'), '[]', 'and the chain is whole');
select is(pg_temp.links('old'), '2', 'of a chain whose events are all gone, the last link stays');
select is(pg_temp.problems('old'), '[]', 'which is whole');
select is(pg_temp.links('one'), '1', 'be it the only one');
select is(pg_temp.links('young'), '1 2', 'a chain of newer events stays');

select pg_temp.write('old', 1);
select is(pg_temp.links('old'), '2 3', 'it goes on where it ended');
select is(pg_temp.problems('old'), '[]', 'and is whole');
delete from private.audit_chain where tenant_id = tests.tenant_id('old') and seq = 2;
select isnt(pg_temp.problems('old'), '[]', 'unless its first link is taken');

select is((select cleanup_old_audit_events('1 month')), 2, 'two months more');
select is(pg_temp.links('mixed'), '5 6 7 8', 'what was behind goes with them');
select is(pg_temp.problems('mixed') || pg_temp.problems('late') || pg_temp.problems('young'), '[]', 'and all are whole');

select * from finish();
rollback;
