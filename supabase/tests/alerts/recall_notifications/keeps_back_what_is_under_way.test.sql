begin;
select plan(6);

select tests.create_tenant('acme', 'free');
create function pg_temp.claimed() returns bigint language sql as $$ select count(*) from claim_alert_notifications() $$;
insert into public.alert_channels (tenant_id, type, name) select tests.tenant_id('acme'), 'console', n from unnest(array['off', 'gone']) n;
select test_alert_channel(id) from public.alert_channels where name in ('off', 'gone');
select is(pg_temp.claimed(), 2::bigint, 'messages under way');
update public.alert_channels set enabled = false where name = 'off';
delete from public.alert_channels where name = 'gone';
select is((select string_agg(status::text, ' ') from public.alert_notifications), 'sending sending', 'may still arrive when their channel is disabled or deleted');
select complete_alert_notifications((select jsonb_agg(jsonb_build_object('id', id, 'ok', false)) from public.alert_notifications));
update public.alert_notifications set next_attempt_at = now();
select is(pg_temp.claimed(), 0::bigint, 'but what failed is not tried again');
update public.alert_notifications set status = 'sending', locked_until = now() - interval '1 second';
select is(pg_temp.claimed(), 0::bigint, 'nor what a worker fell silent about');
update public.alert_notifications set status = 'dead', locked_until = null;
select tests.error_of(format('select replay_alert_notification(%L)', id)) from public.alert_notifications;
select is(pg_temp.claimed(), 0::bigint, 'nor what is to be replayed');
select is_empty($$ select from public.alert_notifications where status <> 'dead' $$, 'it is dead');

select * from finish();
rollback;
