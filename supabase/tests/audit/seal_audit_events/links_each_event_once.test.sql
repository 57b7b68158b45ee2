begin;
select plan(17);

select pg_advisory_xact_lock(hashtext('meterbase.seal_audit_events')); -- passes take turns, and hold nothing yet
select tests.create_tenant('acme', 'trial');
select tests.create_tenant('rival', 'trial');
select private.seal_audit_events();
delete from private.audit_chain;
delete from private.audit_heads;
create function pg_temp.write(p_tenant text, p_at interval) returns void language sql as $$
  insert into private.audit_unsealed (event_id, occurred_at, tenant_id, digest, personal_digest)
  values (
    gen_random_uuid(), now() + p_at, coalesce(tests.tenant_id(p_tenant), private.no_tenant()), sha256(p_at::text::bytea),
    case when p_at > '3 seconds' then sha256('x') end
  )
$$;
create function pg_temp.chain(p_tenant text) returns setof interval language sql as $$
  select c.occurred_at - now() from private.audit_chain c
  where c.tenant_id = coalesce(tests.tenant_id(p_tenant), private.no_tenant())
  order by c.seq
$$;
create temp view links as
select c.*, lag(c.hash, 1, ''::bytea) over (partition by c.tenant_id order by c.seq) as hash_before from private.audit_chain c;

create function pg_temp.hash(p_link links) returns bytea language sql as $$
  select sha256(p_link.hash_before || p_link.digest || coalesce(p_link.personal_digest, '') || timestamptz_send(p_link.occurred_at))
$$;

select is(private.seal_audit_events(), 0, 'nothing is sealed where nothing waits');
select is_empty('select from private.audit_heads', 'which makes no chain');

select pg_temp.write('acme', i * interval '1 second') from unnest(array[4, 1, 5, 2, 3]) i;
select pg_temp.write('rival', i * interval '1 second') from unnest(array[2, 1]) i;
select pg_temp.write(null, '1 second');
create temp table written as select * from private.audit_unsealed;
select is(private.seal_audit_events(), 8, 'every event that waits is sealed');
select is_empty('select from private.audit_unsealed', 'and waits no more');
select results_eq(
  $$ select * from pg_temp.chain('acme') $$, $$ select i * interval '1 second' from generate_series(1, 5) i $$,
  'in the order in which they happened'
);
select results_eq(
  'select tenant_id, min(seq), max(seq), count(*) from private.audit_chain group by 1 order by 1',
  $$ values (private.no_tenant(), 1::bigint, 1::bigint, 1::bigint), (tests.tenant_id('acme'), 1, 5, 5),
       (tests.tenant_id('rival'), 1, 2, 2) order by 1 $$,
  'numbered for each tenant, and for those of none, from 1 without a gap'
);
select set_eq(
  'select event_id, occurred_at, tenant_id, digest, personal_digest, personal_salt from private.audit_chain',
  'select event_id, occurred_at, tenant_id, digest, personal_digest, personal_salt from written',
  'what was written of them is kept as it was'
);
select is_empty(
  'select seq from links l where hash <> pg_temp.hash(l)',
  'each hash covers the one before it and what is told of the event'
);
select is((select count(distinct (tenant_id, hash)) from private.audit_chain), 8::bigint, 'no two of a tenant are alike');
select set_eq(
  'select tenant_id, seq, hash, pruned_seq, pruned_hash from private.audit_heads',
  $$ select distinct on (tenant_id) tenant_id, seq, hash, 0::bigint, null::bytea from private.audit_chain
     order by tenant_id, seq desc $$,
  'each head is the end of its chain'
);

create temp table sealed as select * from private.audit_chain;
select is(private.seal_audit_events(), 0, 'a second pass seals nothing');
select set_eq('select * from private.audit_chain', 'select * from sealed', 'and changes nothing');

select pg_temp.write('acme', i * interval '-1 second') from generate_series(1, 3) i;
select pg_temp.write('rival', '2 seconds');
select is(private.seal_audit_events(2), 2, 'no more than asked for');
select results_eq(
  $$ select s from pg_temp.chain('acme') with ordinality c (s, i) where i > 5 $$,
  $$ values (interval '-3 seconds'), ('-2 seconds') $$, 'the oldest first, after what is sealed'
);
select is(private.seal_audit_events(null), 2, 'the others next time');
select is_empty(
  $$ select seq from links l where hash <> pg_temp.hash(l)
     union all
     (select seq from private.audit_heads h where (h.seq, h.hash) <> (
       select c.seq, c.hash from private.audit_chain c where c.tenant_id = h.tenant_id order by c.seq desc limit 1)) $$,
  'the chains go on where they ended'
);
select is(
  private.audit_link('a', 'b', null, now()) <> private.audit_link('a', 'b', null, now() + interval '1 microsecond'), true,
  'a hash covers the time, to the microsecond'
);

select * from finish();
rollback;
