begin;
select plan(8);

insert into public.alert_channels (id, type, name) select md5('lane ' || l)::uuid, 'console', l from generate_series(1, 2000) l;
-- What waits: 2,000 lanes of 50 messages each, of which every tenth has some that are due; and what has left, many more.
insert into public.alert_notifications (kind, lane, alert_id, channel_id, status, next_attempt_at, sent_at, payload)
select 'alert', md5('lane ' || l), md5('alert ' || l || ' ' || i)::uuid, md5('lane ' || l)::uuid, s::public.notification_status,
  now() + case when l % 10 = 0 and i > 45 then interval '-1 minute' else interval '1 hour' end, case s when 'sent' then now() end, '{"event": "resolved"}'
from generate_series(1, 2000) l, generate_series(1, 50) i, unnest(array['pending', 'sent', 'sent']) s;
analyze public.alert_notifications, private.outbox, public.alert_channels;
create temp view scans as
select n as name, pg_stat_get_xact_numscans(n::regclass) as n
from unnest(array['alert_notifications', 'private.outbox', 'private.outbox_due', 'private.outbox_leased', 'alert_notifications_by_alert']) n;
create temp table before as table scans;
create temp table claims as
select i, (select count(*) from claim_alert_notifications(least(100, 99 + i))) as claimed from generate_series(1, 12) i;
create temp table after as table scans;
create function pg_temp.scanned(p_name text) returns bigint language sql as $$
  select a.n - b.n from after a join before b using (name) where name = p_name
$$;

select is((select sum(claimed) from claims), 1000::numeric, 'all that is due is claimed, by a hundred');
select is(pg_temp.scanned('alert_notifications') + pg_temp.scanned('private.outbox'), 0::bigint, 'without reading the whole outbox');
select cmp_ok(pg_temp.scanned('private.outbox_due'), '>=', 2000::bigint, 'the walk from lane to lane is by index');
select cmp_ok(pg_temp.scanned('alert_notifications_by_alert'), '>=', 1000::bigint, 'so is what an alert''s messages wait for');
create temp table opened as
with put as (
  insert into public.alert_notifications (kind, lane, alert_id, channel_id, payload)
  select 'alert', 'opened', md5('alert 1 ' || i)::uuid, md5('lane 1')::uuid, '{"event": "opened"}' from generate_series(1, 20) i
)
select n as before from scans where name = 'alert_notifications_by_alert';
select is((select count(*) from claim_alert_notifications()), 20::bigint, 'that alerts opened');
select is((select n from scans where name = 'alert_notifications_by_alert'), (select before from opened), 'is claimed without a look at what their messages wait for');
select cmp_ok(pg_temp.scanned('private.outbox_leased'), '>=', 12::bigint, 'and what is under way');
select matches(
  tests.plan_of($$ select o.lane, o.due_at from private.outbox o
    where o.status in ('pending', 'failed') and o.lane > 'a' order by o.lane, o.due_at limit 1 $$),
  '^Limit\n  ->  Index (Only )?Scan using outbox_due', 'each step reads one row'
);

select * from finish();
rollback;
