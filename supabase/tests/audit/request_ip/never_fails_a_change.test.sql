begin;
select plan(6);

select tests.create_tenant('acme', 'trial');
create temp table headers as
select value, jsonb_build_object(name, value) as headers
from unnest(array['cf-connecting-ip', 'x-real-ip', 'x-forwarded-for']) name,
  unnest(array['', ' ', 'unknown', '1.2.3', '1.2.3.4:80', '1.2.3.4/33', '[::1]', 'fe80::1%eth0', '999.1.1.1', '''; drop', repeat('9', 5000), ',', ', 1.2.3.4']) value
union all
select 'odd', unnest(array['{"x-real-ip": null}', '{"x-real-ip": 7}', '{"x-real-ip": {"a": 1}}', '[]', '"text"', '7', 'null', '{}'])::jsonb;

select is_empty('select headers from headers where private.request_ip(headers) is not null', 'what is no address is none');
select results_eq(
  $$ select host(private.request_ip(h)) from unnest(array[
       '{"x-forwarded-for": "203.0.113.7"}', '{"x-forwarded-for": " 203.0.113.7 , 10.0.0.1"}',
       '{"x-real-ip": "203.0.113.8", "x-forwarded-for": "203.0.113.7"}',
       '{"cf-connecting-ip": "2001:db8::1", "x-real-ip": "203.0.113.8", "x-forwarded-for": "203.0.113.7"}',
       '{"x-forwarded-for": "2001:db8::2,10.0.0.1"}'
     ]::jsonb[]) h $$,
  $$ values ('203.0.113.7'), ('203.0.113.7'), ('203.0.113.8'), ('2001:db8::1'), ('2001:db8::2') $$,
  'the first of an address chain, unless the gateway says better'
);
create function pg_temp.rename(p_headers text) returns text language plpgsql as $$
begin
  perform set_config('request.headers', p_headers, true);
  return tests.error_of(format('update public.tenants set name = %L', gen_random_uuid()));
end
$$;
select is_empty(
  'select headers from headers where pg_temp.rename(headers::text) is not null', 'and no change fails for it'
);
select is(pg_temp.rename(''), null, 'nor without a request');
select is(
  pg_temp.rename(jsonb_build_object('user-agent', repeat('ü', 100000), 'x-request-id', repeat('r', 100000))::text), null,
  'nor for headers that are too long'
);
select ok(
  (select bool_or(char_length(user_agent) = 1000 and char_length(request_id) = 200) from public.audit_events), 'of which the beginning is kept'
);

select * from finish();
rollback;
