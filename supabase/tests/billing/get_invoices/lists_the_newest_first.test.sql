begin;
select plan(11);

select tests.create_tenant(t, 'free') from unnest(array['acme', 'globex', 'initech']) t;
select tests.ingest(t || n, 'invoice.finalized', tests.stripe_invoice(t, 'open', p_more => jsonb_build_object(
  'id', 'in_' || t || n, 'created', tests.stripe_now(make_interval(days => - (n / 2) * 2))
))) from unnest(array['acme', 'globex']) t, generate_series(1, 4) n;
create function pg_temp.ids(p_max_rows int, p_before timestamptz default null) returns text[] language sql as $$
  select array_agg(stripe_invoice_id) from get_invoices(tests.tenant_id('acme'), p_max_rows, p_before)
$$;

select is(pg_temp.ids(50), array['in_acme1', 'in_acme2', 'in_acme3', 'in_acme4'], 'a tenant''s invoices, the newest first');
select is(pg_temp.ids(2), array['in_acme1', 'in_acme2'], 'as many as are asked for');
select is(
  pg_temp.ids(50, date_trunc('second', now()) - interval '2 days'), array['in_acme4'], 'those that were made before a time'
);
select is(
  pg_temp.ids(50, date_trunc('second', now())), array['in_acme2', 'in_acme3', 'in_acme4'], 'of one second none is left out by it'
);
select is((select count(*) from get_invoices(tests.tenant_id('initech'))), 0::bigint, 'there may be none');
select is(
  tests.error_of(format('select get_invoices(%L, %s)', tests.tenant_id('acme'), coalesce(n::text, 'null'))), 'PT400 invalid_max_rows',
  format('not %s', coalesce(n::text, 'null'))
) from unnest(array[0, 1001, -1, null]) n;
select is(tests.error_of(format('select get_invoices(%L, 1000)', tests.tenant_id('acme'))), null, 'but up to 1,000');
select is(tests.error_of('select get_invoices(gen_random_uuid())'), 'PT404 tenant_not_found', 'a tenant exists');

select * from finish();
rollback;
