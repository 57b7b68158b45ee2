begin;
select plan(5);

-- Twins: what one asks for in batches, the other asks for amount by amount.
select tests.create_tenant('acme', 'startup');
select tests.create_tenant('twin', 'startup');
update public.plan_limits set enforcement = 'soft' where plan_id = 'startup' and metric = 'api_calls' and period = 'day';
insert into public.tenant_limits (tenant_id, metric, period, per, limit_value)
select tests.tenant_id(name), metric, period::public.quota_period, per::public.quota_scope, limit_value
from unnest(array['acme', 'twin']) name,
  (values ('api_calls', 'day', 'subject', 60), ('api_calls', 'month', 'subject', 100), ('tokens', 'hour', 'tenant', 40),
    ('tokens', 'hour', 'subject', 25), ('seats', 'none', 'tenant', 30), ('embeddings', 'day', 'tenant', 0))
    as l (metric, period, per, limit_value);

create temp table asked as
select round, (array['analysis_runs', 'api_calls', 'tokens', 'seats', 'embeddings', 'executions'])[1 + floor(random() * 6)] as metric,
  (array['', 'u1', 'u2'])[1 + floor(random() * 3)] as subject,
  array(select 1 + floor(random() * random() * 22)::bigint from generate_series(1, 1 + (random() * 7)::int) where round > 0) as amounts
from generate_series(1, 120) round;

create temp table answers (name text, round int, place bigint, answer public.quota_answer);
do $$
declare
  v_asked record;
  v_amount bigint;
begin
  for v_asked in select * from asked order by round loop
    if v_asked.round % 50 = 0 then
      update public.tenants set clock_offset = clock_offset + interval '1 day';
    end if;
    insert into answers
    select 'acme', v_asked.round, b.place, row(
      b.allowed, b.metric, b.period, b.limit_value, b.used, b.remaining, b.resets_at, b.reason, b.decision_id
    )::public.quota_answer
    from public.consume_quota_batch(tests.tenant_id('acme'), v_asked.metric, v_asked.amounts, v_asked.subject)
      with ordinality b (allowed, metric, period, limit_value, used, remaining, resets_at, reason, decision_id, place);
    for v_i in 1..cardinality(v_asked.amounts) loop
      insert into answers
      select 'twin', v_asked.round, v_i, c
      from public.consume_quota(tests.tenant_id('twin'), v_asked.metric, v_asked.amounts[v_i], v_asked.subject) c;
    end loop;
  end loop;
end
$$;
-- Receipts differ in their ids alone: each is named by where it was given first.
create temp view told as
select name, round, place, (answer).allowed, (answer).metric, (answer).period, (answer).limit_value, (answer).used,
  (answer).remaining, (answer).resets_at, (answer).reason,
  case when (answer).decision_id is not null
    then min(round * 100 + place) over (partition by name, (answer).decision_id) end as receipt
from answers;
create function pg_temp.without_tenant(p_query text) returns text language sql as $$
  select format(
    $q$ select n.name, to_jsonb(r) - 'tenant_id' - 'id' - 'batch_id' - 'source' as row from (%s) r
        join (values ('acme'), ('twin')) n (name) on r.tenant_id = tests.tenant_id(n.name) $q$, p_query
  )
$$;

select cmp_ok(
  (select count(*) filter (where not allowed) from told where name = 'acme'), '>', 20::bigint, 'many amounts did not fit'
);
select results_eq(
  $$ select to_jsonb(t) - 'name' from told t where name = 'acme' order by round, place $$,
  $$ select to_jsonb(t) - 'name' from told t where name = 'twin' order by round, place $$,
  'the answers are the same'
);
select bag_eq(
  format('select row from (%s) a where name = ''acme''', pg_temp.without_tenant('select * from private.quota_counters')),
  format('select row from (%s) a where name = ''twin''', pg_temp.without_tenant('select * from private.quota_counters')),
  'so are the counters, with their grants'
);
select bag_eq(
  format('select row from (%s) a where name = ''acme''', pg_temp.without_tenant('select * from private.quota_denials')),
  format('select row from (%s) a where name = ''twin''', pg_temp.without_tenant('select * from private.quota_denials')),
  'the denials'
);
select bag_eq(
  format('select row from (%s) a where name = ''acme''', pg_temp.without_tenant('select * from public.quota_decisions')),
  format('select row from (%s) a where name = ''twin''', pg_temp.without_tenant('select * from public.quota_decisions')),
  'and the receipts'
);

select * from finish();
rollback;
