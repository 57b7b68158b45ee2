begin;
select plan(12);

delete from private.stripe_calls;
select tests.create_user('root');
insert into public.platform_admins (user_id) values (tests.user_id('root'));
create function pg_temp.calls() returns text language sql as $$
  select string_agg((minute = date_trunc('minute', now()), succeeded, failed, last_error)::text, ' ') from private.stripe_calls
$$;

select record_stripe_calls(3, 0);
select is(pg_temp.calls(), '(t,3,0,)', 'calls are counted in their minute');
select record_stripe_calls(1, 2, 'timeout');
select is(pg_temp.calls(), '(t,4,2,timeout)', 'added up, with why one failed');
select record_stripe_calls(5, 0);
select is(pg_temp.calls(), '(t,9,2,timeout)', 'which stays');
select record_stripe_calls(0, 1, repeat('x', 501));
select is(pg_temp.calls(), format('(t,9,3,%s)', repeat('x', 500)), 'until another does, cut at 500 characters');
select record_stripe_calls(0, 0);
select is(pg_temp.calls(), format('(t,9,3,%s)', repeat('x', 500)), 'none is none');
select is(tests.error_of(format('select record_stripe_calls(%s, %s)', s, f)), 'PT400 invalid_calls', format('%s and %s are no counts', s, f))
from (values ('-1', '0'), ('0', '-1'), ('null', '0'), ('0', 'null')) calls (s, f);
select tests.act_as_service_role();
select is(tests.error_of('select record_stripe_calls(1, 0)'), null, 'the service role counts');
select tests.act_as_user('root', '{"role": "service_role"}');
select is(tests.error_of('select record_stripe_calls(1, 0)'), '42501', 'nobody else');
select tests.act_as_anon();
select is(tests.error_of('select record_stripe_calls(1, 0)'), '42501', 'does');

select * from finish();
rollback;
