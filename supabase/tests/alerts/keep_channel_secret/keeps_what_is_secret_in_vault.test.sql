begin;
select plan(31);

select tests.create_user('adam');
select tests.create_tenant(t, 'free') from unnest(array['acme', 'globex']) t;
update public.tenants set plan_id = 'unlimited';
select tests.add_member('acme', 'adam', 'admin');
create function pg_temp.config(p_name text) returns jsonb language sql as $$ select config from public.alert_channels where name = p_name $$;
create function pg_temp.secret(p_name text, p_suffix text default '') returns text language sql as $$
  select s.decrypted_secret from vault.decrypted_secrets s join public.alert_channels c on s.name = 'meterbase_channel_' || c.id || p_suffix where c.name = p_name
$$;
create temp table before as select count(*) as n from vault.secrets;

select tests.act_as_user('adam');
insert into public.alert_channels (tenant_id, type, name, config) values
  (tests.tenant_id('acme'), 'slack', 'slack', '{"webhook_url": "https://hooks.slack.com/services/A/B/C", "channel": "#alerts", "more": 1}'),
  (tests.tenant_id('acme'), 'pagerduty', 'pager', '{"routing_key": "R0123456789abcdef", "more": 1}'),
  (tests.tenant_id('acme'), 'webhook', 'hook', '{"url": "https://hook.example/x", "secrets": ["mine"]}'),
  (tests.tenant_id('acme'), 'email', 'mail', '{"recipients": ["a@example.com"], "more": 1}'),
  (tests.tenant_id('acme'), 'console', 'console', '{"more": 1}');
select is(pg_temp.config('slack'), '{"webhook_url": "https://hooks.slack.com/…", "channel": "#alerts"}', 'of a Slack URL the host is left');
select is(pg_temp.config('pager'), '{"routing_key": "…cdef"}', 'of a routing key its end');
select is(pg_temp.config('hook'), '{"url": "https://hook.example/x"}', 'a webhook''s URL is no secret');
select is(pg_temp.config('mail'), '{"recipients": ["a@example.com"]}', 'nor are addresses');
select is(pg_temp.config('console'), '{}', 'what a type does not know is not kept');
select tests.act_as_owner();
select is(pg_temp.secret('slack'), 'https://hooks.slack.com/services/A/B/C', 'the URL is in Vault');
select is(pg_temp.secret('pager'), 'R0123456789abcdef', 'and the key');
select matches(pg_temp.secret('hook'), '^whsec_[A-Za-z0-9+/]{43}=$', 'of a webhook the database makes the secret, 32 bytes as Standard Webhooks has them');
select is((select count(*) - b.n from vault.secrets s, before b group by b.n), 3::bigint, 'nothing else is');
insert into public.alert_channels (tenant_id, type, name, config) values (tests.tenant_id('globex'), 'webhook', 'other', '{"url": "https://hook.example/x"}');
select isnt(pg_temp.secret('other'), pg_temp.secret('hook'), 'each webhook has its own');
create temp table made as select pg_temp.secret('hook') as hook;

-- A mask that comes back.
select tests.act_as_user('adam');
update public.alert_channels set config = config, name = name, enabled = true;
update public.alert_channels set config = config || '{"channel": "#other"}' where name = 'slack';
update public.alert_channels set config = '{"url": "https://hook.example/y"}' where name = 'hook';
select is(pg_temp.config('slack'), '{"webhook_url": "https://hooks.slack.com/…", "channel": "#other"}', 'a mask that comes back changes what is beside it');
select is(pg_temp.config('pager'), '{"routing_key": "…cdef"}', 'and stays as it is');
select tests.act_as_owner();
select is(pg_temp.secret('slack'), 'https://hooks.slack.com/services/A/B/C', 'but not the URL');
select is(pg_temp.secret('pager'), 'R0123456789abcdef', 'nor the key');
select is(pg_temp.secret('hook'), (select hook from made), 'a webhook that moves keeps its secret');
select is((select count(*) - b.n from vault.secrets s, before b group by b.n), 4::bigint, 'none is made anew');

-- New ones.
select tests.act_as_user('adam');
update public.alert_channels set config = '{"webhook_url": "https://hooks.slack.com/services/D/E/F"}' where name = 'slack';
update public.alert_channels set config = '{"routing_key": "R9999999999999999"}' where name = 'pager';
select is(pg_temp.config('slack'), '{"webhook_url": "https://hooks.slack.com/…"}', 'a new URL leaves the same mask');
select is(pg_temp.config('pager'), '{"routing_key": "…9999"}', 'a new key another');
select is(tests.error_of($$ update public.alert_channels set config = '{}' where name = 'slack' $$), 'PT400 invalid_alert_channel', 'none is left out');
select is(tests.error_of($$ update public.alert_channels set config = '{"routing_key": "…cdef"}' where name = 'pager' $$), 'PT400 invalid_alert_channel', 'and an old mask is no key');
select tests.act_as_owner();
select is(pg_temp.secret('slack'), 'https://hooks.slack.com/services/D/E/F', 'it replaces the one before');
select is(pg_temp.secret('pager'), 'R9999999999999999', 'as the key does');
select is((select count(*) - b.n from vault.secrets s, before b group by b.n), 4::bigint, 'in its place');

-- Who reads them.
select tests.act_as_user('adam');
select is(tests.error_of('select * from vault.decrypted_secrets'), '42501', 'no member reads Vault');
select is(tests.error_of(format('select private.channel_secret(%L)', gen_random_uuid())), '42501', 'or asks a function for a secret');
select tests.act_as_service_role();
select is(tests.error_of(format('select private.channel_secret(%L)', gen_random_uuid())), '42501', 'nor does the service role, but by a claim');
select tests.act_as_owner();

-- What disabled a channel is forgotten when it is enabled.
update public.alert_channels set enabled = false, disabled_reason = 'gone' where name = 'slack';
select is((select disabled_reason from public.alert_channels where name = 'slack'), 'gone', 'what is disabled says why');
update public.alert_channels set config = config where name = 'slack';
select is((select disabled_reason from public.alert_channels where name = 'slack'), 'gone', 'as long as it is');
select tests.act_as_user('adam');
update public.alert_channels set enabled = true where name = 'slack';
select is((select disabled_reason from public.alert_channels where name = 'slack'), null, 'one that is enabled again needs no reason');

-- They go with their channel, and with their tenant.
delete from public.alert_channels where name in ('slack', 'pager', 'mail');
select tests.act_as_owner();
select is((select count(*) - b.n from vault.secrets s, before b group by b.n), 2::bigint, 'a secret goes with its channel');
select rotate_channel_secret(id) from public.alert_channels where name = 'hook';
insert into public.alert_rules (tenant_id, name, type, channel_ids) select tenant_id, 'r', 'usage_threshold', array[id] from public.alert_channels where name = 'hook';
delete from public.tenants where id = tests.tenant_id('acme');
select set_eq(
  $$ select s.name from vault.secrets s where s.name ~ '^meterbase_channel_' and not exists (select from public.alert_channels c where s.name ~ c.id::text and c.tenant_id is null) $$,
  $$ select 'meterbase_channel_' || id from public.alert_channels where name = 'other' $$, 'all of them go with their tenant'
);

select * from finish();
rollback;
