begin;
select plan(12);

select tests.create_user(u) from unnest(array['olga', 'root']) u;
select tests.create_tenant('acme', 'free');
update public.plan_prices set stripe_price_id = null;
delete from private.stripe_prices;
select tests.add_member('acme', 'olga', 'owner');
insert into public.platform_admins (user_id) values (tests.user_id('root'));

select tests.act_as_user('root');
select is(
  (select (p.id, p.stripe_price_id)::text from set_stripe_price('startup_monthly', 'price_1') p), '(startup_monthly,price_1)',
  'a platform admin says what sells a price'
);
select is(tests.error_of($$ select set_stripe_price('startup_monthly', 'price_1') $$), null, 'again changes nothing');
select is(
  tests.error_of($$ select set_stripe_price('startup_annual', 'price_1') $$), 'PT409 stripe_price_taken', 'a Stripe price sells one price'
);
select is(tests.error_of($$ select set_stripe_price('gone', 'price_2') $$), 'PT404 price_not_found', 'which exists');
select is(tests.error_of($$ select set_stripe_price('startup_annual', '') $$), 'PT400 invalid_stripe_price', 'an id is not empty');
select is(tests.error_of($$ select set_stripe_price('startup_annual', 'a b') $$), 'PT400 invalid_stripe_price', 'nor has it spaces');
select is(
  tests.error_of(format('select set_stripe_price(%L, %L)', 'startup_annual', repeat('x', 256))), 'PT400 invalid_stripe_price',
  'nor more than 255 characters'
);
select is((select stripe_price_id from set_stripe_price('startup_monthly', null)), null, 'null takes it off sale');
select tests.act_as_owner();
select bag_eq(
  $$ select entity_id, actor_id, new_values ->> 'stripe_price_id' from public.audit_events
     where event_type = 'plan_price_updated' and actor_type = 'admin' $$,
  $$ values ('startup_monthly', tests.user_id('root')::text, 'price_1'), ('startup_monthly', tests.user_id('root')::text, null) $$,
  'each change is recorded'
);

select tests.act_as_user('olga', '{"role": "service_role"}');
select is(tests.error_of($$ select set_stripe_price('pro_monthly', 'price_3') $$), 'PT403 platform_admin_only', 'an owner does not');
select tests.act_as_anon();
select is(tests.error_of($$ select set_stripe_price('pro_monthly', 'price_3') $$), '42501', 'nor anon');
select tests.act_as_service_role();
select is(tests.error_of($$ select set_stripe_price('pro_monthly', 'price_3') $$), null, 'the service role does');

select * from finish();
rollback;
