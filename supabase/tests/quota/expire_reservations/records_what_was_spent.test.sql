begin;
select plan(5);

select tests.create_user('ann');
select tests.create_tenant('acme', 'trial');
select tests.create_tenant('team', 'trial');
select tests.add_member('acme', 'ann', 'editor');
create temp table held (name text, id uuid);
grant insert on held to authenticated;
select tests.set_clock(name) from unnest(array['acme', 'team']) name;
create function pg_temp.hold(p_name text, p_tenant text, p_metric text, p_type text, p_event boolean default true) returns void language sql as $$
  insert into held
  select p_name, r.reservation_id
  from reserve_quota(tests.tenant_id(p_tenant), p_metric, 10, event =>
    case when p_event then jsonb_build_object('event_id', p_name, 'event_type', p_type, 'tokens_consumed', 999, 'quantity', 999, 'subject', 'someone') end) r
$$;
select tests.act_as_user('ann');
select pg_temp.hold('spent', 'acme', 'tokens', 'chat_message');
select tests.act_as_owner();
select pg_temp.hold('unspent', 'acme', 'tokens', 'chat_message');
select pg_temp.hold('eventless', 'acme', 'tokens', 'chat_message', false);
select pg_temp.hold('embedded', 'team', 'embeddings', 'embedding');
select tests.set_clock('acme', '3 minutes');
select extend_reservation(id, 5) from held where name in ('spent', 'eventless');
select extend_reservation(id, 6) from held where name in ('embedded', 'spent');
update private.quota_reservations set expires_at = now();

select private.expire_reservations();
select set_eq(
  $$ select tenant_id, event_id, event_type, subject, tokens_consumed, quantity, event_timestamp from public.tenant_usage_realtime $$,
  $$ values
       (tests.tenant_id('acme'), 'spent', 'chat_message', tests.user_id('ann')::text, 15::bigint, 999::numeric, tests.noon()),
       (tests.tenant_id('team'), 'embedded', 'embedding', '', 999, 10, tests.noon()) $$,
  'as the event that was left with it, for its subject, when it was begun'
);
select set_eq(
  'select tenant_id, metric, used from tests.quota_counters',
  $$ values (tests.tenant_id('acme'), 'tokens', 25::bigint), (tests.tenant_id('team'), 'embeddings', 10) $$,
  'and the counters have the same, with what has no event'
);
select private.expire_reservations();
select is((select count(*) from public.tenant_usage_realtime), 2::bigint, 'a second sweep records nothing more');
select is(
  tests.error_of(format('select settle_reservation(%L, 1)', id)), 'PT409 reservation_expired', 'what is swept is not settled'
) from held where name = 'spent';
select is(
  tests.error_of(format('select release_reservation(%L)', id)), 'PT409 reservation_expired', 'nor released'
) from held where name = 'unspent';

select * from finish();
rollback;
