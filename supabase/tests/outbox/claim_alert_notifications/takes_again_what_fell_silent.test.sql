begin;
select plan(9);

insert into public.alert_notifications (kind, recipient, status, attempts, locked_until)
values ('invite', 'held', 'sending', 1, now()), ('invite', 'over', 'sending', 1, now() - interval '1 microsecond'), ('invite', 'twelve', 'sending', 12, now() - interval '1 hour'),
  ('invite', 'thirteen', 'sending', 13, now() - interval '1 hour'), ('invite', 'secret', 'sending', 13, now() - interval '1 hour');
update public.alert_notifications set payload = '{"token": "secret"}' where recipient = 'secret';
create function pg_temp.state(p_recipient text) returns text language sql as $$
  select (status, attempts, locked_until - now(), last_error)::text from public.alert_notifications where recipient = p_recipient
$$;

select set_eq(
  'select recipient, attempt from claim_alert_notifications(100, 60)', $$ values ('over', 2), ('twelve', 13) $$, 'what was claimed is claimed again when its lease is over'
);
select is(pg_temp.state('held'), '(sending,1,00:00:00,)', 'not a moment before');
select is(pg_temp.state('over'), '(sending,2,00:01:00,"The worker fell silent.")', 'as another attempt');
select is(pg_temp.state('thirteen'), '(dead,13,,"The worker fell silent.")', 'after the 13th it is dead');
select is((select payload from public.alert_notifications where recipient = 'secret'), '{}', 'and its token forgotten');

-- Who was silent and comes back.
select is(complete_alert_notification(id, false, 'late', attempt => 1), 0, 'who comes late cannot say that it failed') from public.alert_notifications where recipient = 'over';
select is(pg_temp.state('over'), '(sending,2,00:01:00,"The worker fell silent.")', 'which changes nothing');
select is(complete_alert_notification(id, true, attempt => 1), 1, 'but that it was delivered') from public.alert_notifications where recipient = 'over';
select is(pg_temp.state('over'), '(sent,2,,)', 'which it is then');

select * from finish();
rollback;
