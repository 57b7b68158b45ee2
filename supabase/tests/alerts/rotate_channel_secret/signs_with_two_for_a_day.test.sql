begin;
select plan(23);

select tests.create_user(u) from unnest(array['vera', 'adam', 'stan', 'root']) u;
select tests.create_tenant(t, 'unlimited') from unnest(array['acme', 'globex']) t;
select tests.add_member('acme', 'vera', 'viewer'), tests.add_member('acme', 'adam', 'admin'), tests.add_member('globex', 'stan', 'owner');
insert into public.platform_admins (user_id) values (tests.user_id('root'));
insert into public.alert_channels (tenant_id, type, name, config) values
  (tests.tenant_id('acme'), 'webhook', 'hook', '{"url": "https://hook.example"}'), (null, 'webhook', 'operators', '{"url": "https://hook.example"}'),
  (tests.tenant_id('acme'), 'slack', 'slack', '{"webhook_url": "https://hooks.slack.com/x"}'), (tests.tenant_id('acme'), 'pagerduty', 'pagerduty', '{"routing_key": "R0123456789abcdef"}'),
  (tests.tenant_id('acme'), 'email', 'email', '{"recipients": ["a@example.com"]}'), (tests.tenant_id('acme'), 'console', 'console', '{}');
create temp table ids as select name, id from public.alert_channels;
grant select on ids to authenticated, anon;
create function pg_temp.fault(p_name text) returns text language sql as $$
  select tests.error_of(format('select rotate_channel_secret(%L)', coalesce((select id from ids where name = p_name), gen_random_uuid())))
$$;
create temp table secrets (n int generated always as identity, secret text);
create function pg_temp.claimed() returns jsonb language sql as $$
  select private.channel_config(c) from public.alert_channels c where name = 'hook'
$$;
insert into secrets (secret) select private.channel_secret(id) from ids where name = 'hook';

select is(pg_temp.claimed(), jsonb_build_object('url', 'https://hook.example', 'secrets', (select jsonb_agg(secret) from secrets)), 'at first one secret signs');
select tests.act_as_user('vera');
select is(pg_temp.fault('hook'), 'PT403 permission_denied', 'a viewer does not rotate it');
select tests.act_as_user('stan', '{"role": "service_role"}');
select is(pg_temp.fault('hook'), 'PT404 alert_channel_not_found', 'a stranger finds no channel, with a forged token neither');
select tests.act_as_anon();
select is(pg_temp.fault('hook'), '42501', 'anon may not');
select tests.act_as_user('adam');
select is(pg_temp.fault('none'), 'PT404 alert_channel_not_found', 'there has to be one');
select is(pg_temp.fault('operators'), 'PT403 platform_admin_only', 'the operator''s is not a tenant''s');
select is(pg_temp.fault(n), 'PT409 channel_has_no_secret', n || ' signs nothing') from unnest(array['slack', 'pagerduty', 'email', 'console']) n;
create temp table new_secret as select rotate_channel_secret(id) as secret from ids where name = 'hook';
select tests.act_as_owner();
insert into secrets (secret) select secret from new_secret;
select matches((select secret from new_secret), '^whsec_[A-Za-z0-9+/]{43}=$', 'an admin does, and is told the new one');
select is(pg_temp.claimed() -> 'secrets', (select jsonb_agg(secret order by n desc) from secrets), 'both sign, the newest first');
select is((select secret_rotated_at from public.alert_channels where name = 'hook'), now(), 'since now');
update public.alert_channels set secret_rotated_at = now() - interval '24 hours' + interval '1 microsecond' where name = 'hook';
select is(jsonb_array_length(pg_temp.claimed() -> 'secrets'), 2, 'for a day');
update public.alert_channels set secret_rotated_at = now() - interval '24 hours' where name = 'hook';
select is(pg_temp.claimed() -> 'secrets', (select jsonb_agg(secret) from new_secret), 'then only the newer');
-- Again within the day.
insert into secrets (secret) select rotate_channel_secret(id) from ids where name = 'hook';
insert into secrets (secret) select rotate_channel_secret(id) from ids where name = 'hook';
select is(pg_temp.claimed() -> 'secrets', (select jsonb_agg(secret order by n desc) from secrets where n > 2), 'rotated twice, the last two sign');
select is((select count(*) from vault.secrets s join ids i on s.name ~ i.id::text where i.name = 'hook'), 2::bigint, 'and no other is kept');
select is((select config from public.alert_channels where name = 'hook'), '{"url": "https://hook.example"}', 'members see none of them');
select tests.act_as_user('root');
select is(pg_temp.fault('operators'), null, 'a platform admin rotates the operator''s');
select is(pg_temp.fault('hook'), null, 'and any tenant''s');
select tests.act_as_service_role();
select is(tests.error_of(format('select rotate_channel_secret(%L)', id)), null, 'the service role does') from public.alert_channels where name = 'hook';
-- What other channels are claimed with.
select tests.act_as_owner();
select results_eq(
  $$ select c.name, private.channel_config(c) from public.alert_channels c where name <> all (array['hook', 'operators']) order by 1 $$,
  $$ values ('console', '{}'::jsonb), ('email', '{}'), ('pagerduty', '{"routing_key": "R0123456789abcdef"}'), ('slack', '{"webhook_url": "https://hooks.slack.com/x"}') $$,
  'other channels are claimed with what they send with'
);
delete from public.alert_channels where name = 'hook';
select is_empty($$ select from vault.secrets s join ids i on s.name ~ i.id::text where i.name = 'hook' $$, 'both go with the channel');

select * from finish();
rollback;
