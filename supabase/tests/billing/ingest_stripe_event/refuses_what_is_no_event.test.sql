begin;
select plan(33);

create temp table good as
select tests.stripe_event('a', 'invoice.paid', '{"id": "in_1", "object": "invoice"}') as event;
create function pg_temp.error(p_event jsonb) returns text language sql as $$
  select tests.error_of(format('select ingest_stripe_event(%L)', p_event))
$$;

select is(pg_temp.error(null), 'PT400 invalid_event', 'null is no event');
select is(pg_temp.error(e), 'PT400 invalid_event', format('nor is %s', e))
from unnest(array['null', '[]', '"a"', '{}', '1']::jsonb[]) e;
select is(pg_temp.error(event - k), 'PT400 invalid_event', format('nor one without %s', k))
from good, unnest(array['id', 'type', 'created', 'data']) k;
select is(pg_temp.error(event || e), 'PT400 invalid_event', format('nor one with %s', left(e::text, 60)))
from good, unnest(array[
  '{"id": ""}', '{"id": 1}', '{"id": null}', jsonb_build_object('id', repeat('x', 256)),
  '{"type": ""}', '{"type": ["a"]}', jsonb_build_object('type', repeat('x', 256)),
  '{"created": "1"}', '{"created": -1}', '{"created": 1e12}', '{"created": null}',
  '{"data": {}}', '{"data": {"object": []}}', '{"data": {"object": "in_1"}}', '{"data": {"object": null}}'
]::jsonb[]) e;
select is((select count(*) from public.stripe_events), 0::bigint, 'nothing is kept of these');
select is((select count(*) from get_webhook_counts()), 0::bigint, 'nor counted');

select is(pg_temp.error(event || e), null, format('but one with %s is', left(e::text, 40)))
from good, unnest(array[
  jsonb_build_object('id', repeat('x', 255)), jsonb_build_object('id', 'b', 'type', repeat('x', 255)),
  '{"id": "c", "created": 0, "type": "x"}', '{"id": "d", "created": 1e11, "type": "x"}', '{"id": "e", "data": {"object": {}}}'
]::jsonb[]) e;
select is((select count(*) from public.stripe_events), 5::bigint, 'and is kept');

select * from finish();
rollback;
