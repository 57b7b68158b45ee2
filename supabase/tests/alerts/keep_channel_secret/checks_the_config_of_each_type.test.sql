begin;
select plan(60);

select tests.create_user('adam');
select tests.create_tenant('acme', 'free');
select tests.add_member('acme', 'adam', 'admin');
create function pg_temp.fault(p_type text, p_config jsonb) returns text language sql as $$
  select tests.error_of(format(
    'insert into public.alert_channels (tenant_id, type, name, config) values (%L, %L, %L, %L)', tests.tenant_id('acme'), p_type, 'c', p_config
  ))
$$;
select tests.act_as_user('adam');

select is(pg_temp.fault(type, config), null, format('%s takes %s', type, left(config::text, 100)))
from (values
  ('email', '{"recipients": ["a@example.com"]}'::jsonb), ('email', '{"recipients": ["ä+b.c@mail.example.co", "b@x"], "more": 1}'),
  ('email', jsonb_build_object('recipients', (select jsonb_agg(i || '@example.com') from generate_series(1, 20) i))),
  ('email', jsonb_build_object('recipients', jsonb_build_array(repeat('x', 64) || '@' || repeat('y', 253)))),
  ('slack', '{"webhook_url": "https://hooks.slack.com/services/A/B/C"}'), ('slack', '{"webhook_url": "http://localhost:8080/x?y=z", "channel": "#alerts"}'),
  ('slack', '{"webhook_url": "https://hooks.slack.com/", "channel": null}'),
  ('slack', jsonb_build_object('webhook_url', 'https://x/' || repeat('y', 1990), 'channel', repeat('c', 100))),
  ('webhook', '{"url": "https://example.com"}'), ('webhook', '{"url": "http://127.0.0.1:9/a?b=c@d"}'),
  ('webhook', jsonb_build_object('url', 'https://x/' || repeat('y', 1990))),
  ('pagerduty', '{"routing_key": "R0123456"}'), ('pagerduty', jsonb_build_object('routing_key', repeat('k', 100))),
  ('console', '{}'), ('console', '{"anything": true}')
) configs (type, config);
select is(pg_temp.fault(type, config), 'PT400 invalid_alert_channel', format('%s refuses %s', type, left(config::text, 100)))
from (values
  ('email', '{}'::jsonb), ('email', '{"recipients": []}'), ('email', '{"recipients": "a@example.com"}'), ('email', '{"recipients": null}'), ('email', '{"recipients": [1]}'),
  ('email', '{"recipients": [null]}'), ('email', '{"recipients": ["a@example.com", "b"]}'), ('email', '{"recipients": ["a b@example.com"]}'),
  ('email', '{"recipients": ["a@b@example.com"]}'), ('email', '{"recipients": ["Ann <a@example.com>"]}'), ('email', '{"recipients": ["a@example.com,b@example.com"]}'),
  ('email', '{"recipients": ["a@example.com\r\nBcc: b@example.com"]}'), ('email', '{"recipients": ["@example.com"]}'), ('email', '{"recipients": [["a@example.com"]]}'),
  ('email', jsonb_build_object('recipients', (select jsonb_agg(i || '@example.com') from generate_series(1, 21) i))),
  ('email', jsonb_build_object('recipients', jsonb_build_array(repeat('x', 65) || '@y'))),
  ('slack', '{}'), ('slack', '{"webhook_url": null}'), ('slack', '{"webhook_url": "hooks.slack.com/x"}'), ('slack', '{"webhook_url": "ftp://hooks.slack.com/x"}'),
  ('slack', '{"webhook_url": "https://hooks.slack.com"}'), ('slack', '{"webhook_url": "https://user@hooks.slack.com/x"}'), ('slack', '{"webhook_url": "https://hooks.slack.com/a b"}'),
  ('slack', '{"webhook_url": "x\nhttps://hooks.slack.com/x"}'), ('slack', '{"webhook_url": "https://hooks.slack.com/x", "channel": 1}'),
  ('slack', jsonb_build_object('webhook_url', 'https://x/' || repeat('y', 1991))), ('slack', jsonb_build_object('webhook_url', 'https://x/', 'channel', repeat('c', 101))),
  ('webhook', '{}'), ('webhook', '{"url": "javascript:alert(1)"}'), ('webhook', '{"url": "file:///etc/passwd"}'), ('webhook', '{"url": "https://user:pass@example.com/"}'),
  ('webhook', '{"url": "https://"}'), ('webhook', '{"url": "https://example.com/a b"}'), ('webhook', '{"url": ""}'), ('webhook', jsonb_build_object('url', 'https://x/' || repeat('y', 1991))),
  ('pagerduty', '{}'), ('pagerduty', '{"routing_key": "short12"}'), ('pagerduty', '{"routing_key": "has spaces in it"}'), ('pagerduty', '{"routing_key": "…cdef"}'),
  ('pagerduty', jsonb_build_object('routing_key', repeat('k', 101))),
  ('console', '[]'), ('console', 'null'), ('webhook', '"https://example.com"')
) configs (type, config);
select is(pg_temp.fault('sms', '{}'), '22P02', 'there are no other types');
select is(
  array[tests.error_of(format('insert into public.alert_channels (tenant_id, type, name) values (%L, %L, %L)', tests.tenant_id('acme'), 'console', repeat('x', 101))),
    tests.error_of(format('insert into public.alert_channels (tenant_id, type, name) values (%L, %L, %L)', tests.tenant_id('acme'), 'console', ''))],
  array['23514', '23514'], 'a name has 1 to 100 characters'
);

select * from finish();
rollback;
