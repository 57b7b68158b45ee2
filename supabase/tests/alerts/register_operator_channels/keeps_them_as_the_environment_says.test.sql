begin;
select plan(31);

select tests.create_user('root');
insert into public.platform_admins (user_id) values (tests.user_id('root'));
select tests.create_tenant('acme', 'free');
insert into public.alert_channels (tenant_id, type, name) values (null, 'console', 'by hand'), (tests.tenant_id('acme'), 'console', 'console');
create function pg_temp.wanted(p_more jsonb default '{}') returns jsonb language sql as $$
  select jsonb_agg(jsonb_build_object('type', key, 'name', key, 'config', value)) from jsonb_each('{
    "slack": {"webhook_url": "https://hooks.slack.com/services/A/B/C", "channel": "#alerts"}, "pagerduty": {"routing_key": "R0123456789abcdef"},
    "email": {"recipients": ["ops@example.com"]}, "webhook": {"url": "https://hook.example"}, "console": {}
  }'::jsonb || p_more)
  where value <> 'null'
$$;
create function pg_temp.listed() returns text language sql as $$
  select string_agg(type::text, ' ' order by type) from public.alert_channels where is_from_environment and tenant_id is null
$$;

select tests.act_as_service_role();
select is(register_operator_channels(pg_temp.wanted()), 5, 'those that the environment names are made');
select is(pg_temp.listed(), 'email slack webhook pagerduty console', 'as the operator''s');
create temp table ids as select id, type from public.alert_channels where is_from_environment;
select is(register_operator_channels(pg_temp.wanted()), 0, 'again changes nothing');
select results_eq('select id from ids order by type', 'select id from public.alert_channels where is_from_environment order by type', 'they stay the same');
select is(register_operator_channels(pg_temp.wanted('{"slack": {"webhook_url": "https://hooks.slack.com/services/D/E/F", "channel": "#alerts"}}')), 1, 'a new URL is a change');
select is(register_operator_channels(pg_temp.wanted('{"slack": {"webhook_url": "https://hooks.slack.com/services/D/E/F", "channel": "#other"}}')), 1, 'and another channel in Slack');
select is(register_operator_channels(pg_temp.wanted('{"slack": {"webhook_url": "https://hooks.slack.com/services/D/E/F", "channel": "#other"}}')), 0, 'once');
select is(register_operator_channels(pg_temp.wanted('{"pagerduty": {"routing_key": "R1111111111abcdef"}, "email": {"recipients": ["a@example.com", "b@example.com"]}, "webhook": {"url": "https://hook.example/y"}}')), 4, 'each by itself, the URL of Slack back again');
select tests.act_as_owner();
select results_eq(
  $$ select type::text, config, private.channel_secret(id) ~ '^(https://hooks.slack.com/services/A/B/C|R1111111111abcdef|whsec_.*)$' from public.alert_channels c where is_from_environment order by c.type $$,
  $$ values ('email', '{"recipients": ["a@example.com", "b@example.com"]}'::jsonb, null), ('slack', '{"webhook_url": "https://hooks.slack.com/…", "channel": "#alerts"}', true),
       ('webhook', '{"url": "https://hook.example/y"}', true), ('pagerduty', '{"routing_key": "…cdef"}', true), ('console', '{}', null) $$,
  'with their secrets in Vault'
);
select results_eq('select id from ids order by type', 'select id from public.alert_channels where is_from_environment order by type', 'which are the same channels still');
select tests.act_as_service_role();
select is(register_operator_channels(pg_temp.wanted('{"slack": null, "webhook": null}')), 4, 'those not named any more are removed, and the others as they were');
select is(pg_temp.listed(), 'email pagerduty console', 'are left');
select is(register_operator_channels('[{"type": "console", "name": "console", "config": {}}, {"type": "console", "name": "second", "config": {}}]'), 3, 'two of a type have two names');
select is(register_operator_channels('[]'), 2, 'none at all');
select is(pg_temp.listed(), null, 'leaves none');
select is((select count(*) from public.alert_channels where name in ('by hand', 'console')), 2::bigint, 'but what is not from the environment');
select is(register_operator_channels('[{"type": "console", "name": "by hand", "config": {}}]'), 1, 'one of the same name is another');
select is((select count(*) from public.alert_channels where name = 'by hand'), 2::bigint, 'beside it');
select is(register_operator_channels('[{"type": "console", "name": "by hand", "config": {}, "min_severity": "high"}]'), 1, 'how severe is a change');
select is(register_operator_channels('[{"type": "console", "name": "by hand", "config": {}, "min_severity": "high"}]'), 0, 'once');
update public.alert_channels set enabled = false where is_from_environment;
select is(register_operator_channels('[{"type": "console", "name": "by hand", "config": {}, "min_severity": "high"}]'), 0, 'one that was disabled');
select is((select enabled from public.alert_channels where is_from_environment), false, 'stays so');
select is(register_operator_channels('[{"type": "console", "name": "by hand", "config": {}}]'), 1, 'until the environment changes');
select is((select (enabled, min_severity)::text from public.alert_channels where is_from_environment), '(t,low)', 'and it is told of all without a severity');
select is(tests.error_of(format('select register_operator_channels(%L)', c)), f, 'refused: ' || coalesce(c, 'null'))
from (values (null, 'PT400 invalid_channels'), ('{}', 'PT400 invalid_channels'), ('"x"', 'PT400 invalid_channels'), ('[{"type": "slack", "name": "s", "config": {}}]', 'PT400 invalid_alert_channel')) calls (c, f);
select is((select count(*) from public.alert_channels where is_from_environment), 1::bigint, 'what is refused changes nothing');
select tests.act_as_user('root');
select is(tests.error_of('select register_operator_channels(''[]'')'), '42501', 'a platform admin does not');
select tests.act_as_anon();
select is(tests.error_of('select register_operator_channels(''[]'')'), '42501', 'nor anon');

select * from finish();
rollback;
