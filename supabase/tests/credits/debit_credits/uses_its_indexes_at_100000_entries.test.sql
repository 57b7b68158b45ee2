begin;
select plan(17);

-- A tenant with a long past among many; without triggers, so that it is quick.
set local session_replication_role = replica;
insert into public.tenants (id, name, slug, plan_id)
select tests.tenant_id('t' || i), 't', 't' || i, 'startup' from generate_series(0, 20000) i order by 1;
insert into private.credit_accounts (tenant_id, balance, due_at)
select id, case id when tests.tenant_id('t0') then 5000 else 100 end, now() + interval '20 days' from public.tenants;
insert into private.credit_grants (tenant_id, granted, remaining, expires_at)
select tests.tenant_id('t0'), 100, case when i > 19950 then 100 else 0 end, now() + (i - 19949) * interval '20 days'
from generate_series(1, 20000) i
union all
select id, 100, 100, now() + interval '20 days' from public.tenants where id <> tests.tenant_id('t0');
insert into public.credit_ledger (tenant_id, kind, amount, balance, grants, reason, effective_at, idempotency_key)
select tests.tenant_id('t0'), 'debit'::public.credit_entry_kind, -1, 5000, '{}'::jsonb, 'work', now() - (100001 - i) * interval '1 minute', 'key ' || i
from generate_series(1, 100000) i
union all
select id, 'grant', 100, 100, '{}', 'gift', now() - interval '1 day', null from public.tenants where id <> tests.tenant_id('t0');
set local session_replication_role = origin;
analyze public.tenants, public.credit_ledger, private.credit_accounts, private.credit_grants;

-- Counted by Postgres while the functions run, so that this holds of their own statements.
create temp table relations (name text primary key, is_index boolean, of_balance boolean);
insert into relations values
  ('public.tenants', false, true), ('public.credit_ledger', false, true), ('private.credit_accounts', false, true),
  ('private.credit_grants', false, true),
  ('public.tenants_pkey', true, true), ('public.credit_ledger_by_time', true, true), ('private.credit_grants_left', true, true),
  ('private.credit_accounts_pkey', true, false), ('private.credit_grants_pkey', true, false),
  ('public.credit_ledger_idempotency_key_unique', true, false);
create temp view scans as
select r.*, pg_stat_get_xact_numscans(r.name::regclass) as n, pg_stat_get_xact_tuples_returned(r.name::regclass) as entries from relations r;

-- More often than a plan is made for its arguments: after five times it is one for any.
create temp table before_debit as table scans;
do $$ begin
  for v_i in 1..12 loop
    perform public.debit_credits(tests.tenant_id('t0'), 1 + v_i * 10, 'work', 'debit ' || v_i);
  end loop;
end $$;
create temp table before_balance as table scans;
do $$ begin
  for v_i in 1..12 loop
    perform public.get_credit_balance(tests.tenant_id('t0'), case when v_i % 2 = 0 then now() - v_i * interval '1 hour' end);
  end loop;
end $$;
create temp table after_balance as table scans;

select cmp_ok(c.n - b.n, '>=', 12::bigint, 'debit_credits uses ' || b.name)
from before_debit b join before_balance c using (name) where b.is_index order by b.name;
select is(
  (select string_agg(b.name, ', ') from before_debit b join before_balance c using (name) where not b.is_index and c.n > b.n), null,
  'debit_credits reads no whole table'
);
select is(
  (select string_agg(b.name || ' ' || (c.entries - b.entries), ', ')
    from before_debit b join before_balance c using (name) where b.is_index and c.entries - b.entries > 12 * 75), null,
  'nor more of an index than what is left to take of'
);
select cmp_ok(c.entries - b.entries, '<=', 12::bigint * 2, 'of its entries no more than the last of ' || b.name)
from before_debit b join before_balance c using (name) where b.name like '%credit_ledger_%' order by b.name;
select cmp_ok(c.n - b.n, '>=', 12::bigint, 'get_credit_balance uses ' || b.name)
from before_balance b join after_balance c using (name) where b.is_index and b.of_balance order by b.name;
select is(
  (select string_agg(b.name, ', ') from before_balance b join after_balance c using (name) where not b.is_index and c.n > b.n), null,
  'get_credit_balance reads no whole table'
);
select cmp_ok(c.entries - b.entries, '<=', 12::bigint * 75, 'nor all of the ledger before a time')
from before_balance b join after_balance c using (name) where b.name = 'public.credit_ledger_by_time';
select is(
  (select (count(*), sum(amount))::text from public.credit_ledger where idempotency_key like 'debit %'), '(12,-792)', 'all were taken'
);
select is((select balance from private.credit_accounts where tenant_id = tests.tenant_id('t0')), 4208::bigint, 'of what there was');

select * from finish();
rollback;
