begin;
select plan(30);

select tests.create_tenant('acme', 'free');
update public.plan_prices set stripe_price_id = null;
delete from private.stripe_prices;
select tests.ingest('a', 'customer.subscription.created', tests.stripe_subscription('acme'));
create function pg_temp.pause() returns interval language plpgsql as $$
declare
  v_pause interval;
begin
  select next_attempt_at - now() into v_pause from public.stripe_events where id = 'a';
  update public.stripe_events set next_attempt_at = now() where id = 'a' and next_attempt_at is not null;
  perform private.retry_stripe_events();
  return v_pause;
end
$$;
select is(pg_temp.pause(), p, format('a pause of %s', p))
from unnest(array['1 minute', '2 minutes', '4 minutes', '8 minutes', '16 minutes', '32 minutes']::interval[]) p;
select is(pg_temp.pause(), interval '64 minutes', 'each is twice the last');
select is(pg_temp.pause(), interval '128 minutes', 'and so on');
select is(pg_temp.pause(), interval '256 minutes', 'for nine times');
select is(pg_temp.pause(), interval '6 hours', 'then it is six hours') from generate_series(10, 20);
select is((select attempts from public.stripe_events), 21, 'it was tried once, and twenty times again');
select is((select (status, next_attempt_at)::text from public.stripe_events), '(failed,)', 'then it is left to an operator');
update public.stripe_events set next_attempt_at = null;
select is(private.retry_stripe_events(), 0, 'and not tried any more');
select is((select attempts from public.stripe_events), 21, 'indeed');

-- Unless what it lacks comes.
select tests.sell_prices();
select set_stripe_price('startup_monthly', 'price_startup_monthly');
select is(private.retry_stripe_events(), 1, 'unless its price comes');
select is((select status::text from public.stripe_events), 'processed', 'then it is applied');

select tests.ingest('b', 'customer.subscription.updated', tests.stripe_subscription('acme', 'gone'), '1 minute');
update public.stripe_events set next_attempt_at = now() + interval '1 second' where id = 'b';
select is(private.retry_stripe_events(), 0, 'nothing is tried before its time');
select is((select attempts from public.stripe_events where id = 'b'), 1, 'indeed');
select results_eq(
  $$ select type, outcome, count from get_webhook_counts() $$,
  $$ values ('customer.subscription.created', 'failed', 21::bigint), ('customer.subscription.created', 'processed', 1),
       ('customer.subscription.created', 'received', 1), ('customer.subscription.updated', 'failed', 1),
       ('customer.subscription.updated', 'received', 1) $$,
  'each attempt is counted'
);

select tests.act_as_service_role();
select is(tests.error_of('select private.retry_stripe_events()'), '42501', 'no API role tries them');

select * from finish();
rollback;
