begin;
select plan(12);

delete from private.health_samples; delete from private.stripe_calls; delete from public.alert_notifications;
delete from private.quota_counters; delete from private.quota_denials;
select tests.create_tenant(t, 'trial') from unnest(array['acme', 'globex']) t;
select consume_quota(tests.tenant_id('acme'), 'tokens', 10), consume_quota(tests.tenant_id('globex'), 'tokens', 10), consume_quota(tests.tenant_id('globex'), 'tokens', 10001);
insert into private.quota_denials values (tests.tenant_id('acme'), 'tokens', 0, 7);
insert into private.health_samples (sampled_at, status, components, quota_allowed, quota_denied) values
  (now() - interval '31 days', 'healthy', '{}', 0, 0), (now() - interval '31 days 1 microsecond', 'healthy', '{}', 0, 0);
insert into private.stripe_calls (minute) values (now() - interval '7 days'), (now() - interval '7 days 1 microsecond');

select private.sample_health();
select results_eq(
  $$ select status = private.overall_status(components), components, quota_allowed, quota_denied from private.health_samples where sampled_at = now() $$,
  $$ select true, private.platform_components(), 2::numeric, 8::numeric $$, 'a sample says how all parts were, and counts the takes of all tenants'
);
select is((select min(sampled_at) from private.health_samples), now() - interval '31 days', 'samples are kept for 31 days');
select is((select min(minute) from private.stripe_calls), now() - interval '7 days', 'calls of Stripe for seven');
select private.sample_health();
select is((select count(*) from private.health_samples where sampled_at = now()), 1::bigint, 'of one moment there is one sample');
delete from private.health_samples; delete from private.quota_counters; delete from private.quota_denials;
insert into public.alert_notifications (kind, next_attempt_at) values ('alert', now() - interval '1 hour');
select private.sample_health();
select results_eq('select status, quota_allowed, quota_denied from private.health_samples', $$ values ('unhealthy', 0::numeric, 0::numeric) $$, 'nothing taken is 0');
select is((select components #>> '{outbox,status}' from private.health_samples), 'unhealthy', 'with what was out of order');
select is(
  tests.error_of($$ insert into private.health_samples (sampled_at, status, components, quota_allowed, quota_denied) values (now() - interval '1 s', 'fine', '{}', 0, 0) $$), '23514',
  'there are three states'
);
-- Takes are counted every five minutes.
delete from private.health_samples;
insert into private.health_samples (sampled_at, status, components, quota_allowed, quota_denied) values (now() - interval '5 minutes' + interval '1 microsecond', 'healthy', '{}', 0, 0);
select private.sample_health();
select is((select quota_allowed from private.health_samples where sampled_at = now()), null, 'a sample soon after another does not count takes');
delete from private.health_samples;
insert into private.health_samples (sampled_at, status, components, quota_allowed, quota_denied) values (now() - interval '5 minutes', 'healthy', '{}', 0, 0);
insert into private.health_samples (sampled_at, status, components) values (now() - interval '1 minute', 'healthy', '{}');
select private.sample_health();
select is((select quota_allowed from private.health_samples where sampled_at = now()), 0::numeric, 'five minutes later one does');
select tests.act_as_service_role();
select is(tests.error_of('select private.sample_health()'), '42501', 'no API role samples');
select is(tests.error_of('select * from private.health_samples'), '42501', 'or reads samples');
select tests.act_as_owner();
select is((select count(*) from cron.job where command = 'select private.sample_health()'), 1::bigint, 'a job does');

select * from finish();
rollback;
