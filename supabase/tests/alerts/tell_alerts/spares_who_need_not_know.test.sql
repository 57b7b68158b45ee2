begin;
select plan(14);

update public.alert_rules set enabled = false;
select tests.create_tenant(t, 'trial') from unnest(array['acme', 'globex']) t;
insert into public.alert_channels (tenant_id, type, name, min_severity) select tests.tenant_id('acme'), 'console', s::text, s from unnest(enum_range(null::public.alert_severity)) s;
create function pg_temp.told(p_severity text) returns text language plpgsql as $$
begin
  delete from public.alert_rules; delete from public.alerts; delete from public.alert_notifications;
  insert into public.alert_rules (tenant_id, name, type, threshold, severity) values (tests.tenant_id('acme'), 'r', 'quota_warning', 80, p_severity::public.alert_severity);
  perform evaluate_alert_rules();
  return (select string_agg(c.name, ' ' order by c.min_severity) from public.alert_notifications n join public.alert_channels c on c.id = n.channel_id);
end
$$;

-- How severe.
select consume_quota(tests.tenant_id('acme'), 'tokens', 8000);
select is(pg_temp.told('low'), 'low', 'a channel is told of what is at least as severe as it wants');
select is(pg_temp.told('medium'), 'low medium', 'or more');
select is(pg_temp.told('high'), 'low medium high', 'of each severity');
select is(pg_temp.told('critical'), 'low medium high critical', 'up to the highest');

-- Mails of a tenant: 500 an hour.
delete from public.alert_channels; delete from public.alert_notifications; delete from public.alert_rules; delete from public.alerts;
insert into public.alert_channels (tenant_id, type, name, config)
select tests.tenant_id(t), 'email', 'mail', jsonb_build_object('recipients', (select jsonb_agg(i || '@example.com') from generate_series(1, 10) i)) from unnest(array['acme', 'globex', null]) t;
insert into public.alert_channels (tenant_id, type, name) values (tests.tenant_id('acme'), 'console', 'c');
insert into public.alert_notifications (tenant_id, kind, recipient, created_at) select tests.tenant_id('acme'), 'alert', 'r', now() - interval '1 hour' from generate_series(1, 99);
insert into public.alert_notifications (tenant_id, kind, recipient, payload) select tests.tenant_id('acme'), 'billing', 'r', jsonb_build_object('key', i) from generate_series(1, 99) i;
insert into public.alert_notifications (tenant_id, kind) select tests.tenant_id('acme'), 'alert' from generate_series(1, 99);
insert into public.alert_notifications (tenant_id, kind, recipient) select tests.tenant_id('acme'), 'alert', 'r' from generate_series(1, 485);
insert into public.alert_notifications (tenant_id, kind, recipient) select null, 'alert', 'r' from generate_series(1, 600);
create function pg_temp.mails(p_tenant text) returns text language sql as $$
  select string_agg(status || ' ' || n, ', ' order by status) from (
    select n.status, count(*) as n from public.alert_notifications n join public.alert_channels c on c.id = n.channel_id
    where c.type = 'email' and n.tenant_id is not distinct from tests.tenant_id(p_tenant) group by 1
  ) s
$$;
insert into public.alert_rules (tenant_id, name, type, threshold) select tests.tenant_id(t), 'r', 'quota_warning', 80 from unnest(array['acme', 'globex', null]) t;
select evaluate_alert_rules();
select is(pg_temp.mails('acme'), 'pending 10', 'a tenant sends mails');
insert into public.alert_rules (tenant_id, name, type, threshold) values (tests.tenant_id('acme'), 's', 'quota_warning', 79);
select evaluate_alert_rules();
select is(pg_temp.mails('acme'), 'pending 15, dead 5', 'up to 500 an hour');
select is(
  (select distinct n.last_error from public.alert_notifications n where n.status = 'dead'), 'The tenant has sent 500 alert mails within an hour.', 'what is beyond says why it was not sent'
);
insert into public.alert_rules (tenant_id, name, type, threshold) values (tests.tenant_id('acme'), 't', 'quota_warning', 78), (tests.tenant_id('acme'), 'u', 'quota_warning', 77);
select evaluate_alert_rules();
select is(pg_temp.mails('acme'), 'pending 15, dead 25', 'and no more');
select is((select count(*) from public.alert_notifications n join public.alert_channels c on c.id = n.channel_id where c.type = 'console' and n.status = 'pending'), 4::bigint, 'other channels are told of all');
select is((select count(*) from public.alerts where tenant_id is not null), 4::bigint, 'every alert opens');
select is(pg_temp.mails(null), 'pending 10', 'the operator is told of all');
select consume_quota(tests.tenant_id('globex'), 'tokens', 8000);
select is(pg_temp.mails('globex'), 'pending 10', 'another tenant has mails of its own');
select set_eq(
  $$ select distinct n.lane from public.alert_notifications n join public.alert_channels c on c.id = n.channel_id where c.type = 'email' $$,
  array['email:operator', 'email:' || tests.tenant_id('acme'), 'email:' || tests.tenant_id('globex')], 'each has a lane of its own for them'
);
update public.alert_notifications set created_at = now() - interval '1 hour' where tenant_id = tests.tenant_id('acme');
insert into public.alert_rules (tenant_id, name, type, threshold) values (tests.tenant_id('acme'), 'v', 'quota_warning', 76);
select evaluate_alert_rules();
select is(pg_temp.mails('acme'), 'pending 25, dead 25', 'an hour later there are more');

select * from finish();
rollback;
