begin;
select plan(9);

delete from public.alert_notifications;
create function pg_temp.difference() returns text language sql as $$
  select string_agg(coalesce(o.id, n.id)::text, ' ') from private.outbox o
  full join (select * from public.alert_notifications where status <> 'sent') n using (id)
  where (o.lane, o.status, o.due_at) is distinct from (n.lane, n.status, coalesce(n.locked_until, n.next_attempt_at))
$$;
create function pg_temp.rows() returns bigint language sql as $$ select count(*) from private.outbox $$;

insert into public.alert_notifications (kind, lane, recipient, status, next_attempt_at, sent_at, locked_until)
select 'invite', 'l' || i % 3, i, s, now() - i * interval '1 minute', case s when 'sent' then now() end, case s when 'sending' then now() + interval '1 minute' end
from generate_series(1, 40) i, unnest(enum_range(null::public.notification_status)) s;
select is(pg_temp.difference(), null, 'what is put into the outbox is listed');
select is(pg_temp.rows(), 160::bigint, 'but what was sent');
select claim_alert_notifications(30);
select is(pg_temp.difference(), null, 'what is claimed is listed until its lease is over');
select complete_alert_notifications((
  select jsonb_agg(jsonb_build_object('id', id, 'ok', n % 3 = 0, 'is_permanent', n % 3 = 1)) from (
    select id, row_number() over () as n from public.alert_notifications where status = 'sending'
  ) s
));
select is(pg_temp.difference(), null, 'what failed or is dead as such, and what was sent no more');
select is(pg_temp.rows(), (select count(*) from public.alert_notifications where status <> 'sent'), 'none is left over');
select replay_alert_notification(id) from public.alert_notifications where status = 'dead';
update public.alert_notifications set lane = 'other', next_attempt_at = now() + interval '1 hour' where status = 'pending';
select is(pg_temp.difference(), null, 'what is changed is as it is');
delete from public.alert_notifications where recipient::int % 2 = 0;
select is(pg_temp.difference(), null, 'what is deleted is not');
delete from public.alert_notifications;
select is(pg_temp.rows(), 0::bigint, 'at all');
select tests.act_as_service_role();
select is(tests.error_of('select * from private.outbox'), '42501', 'no API role reads the list');

select * from finish();
rollback;
