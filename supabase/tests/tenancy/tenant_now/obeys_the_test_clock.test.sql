begin;
select plan(8);

select tests.create_tenant('acme', 'trial');
select tests.create_tenant('rival', 'trial');

select is(private.tenant_now(tests.tenant_id('acme')), now(), 'a tenant''s time is the real one');
update public.tenants set clock_offset = '31 days 2 hours' where id = tests.tenant_id('acme');
select is(private.tenant_now(tests.tenant_id('acme')), now() + interval '31 days 2 hours', 'plus its offset');
select is(private.tenant_now(tests.tenant_id('rival')), now(), 'which moves no other tenant');
select lives_ok($$ update public.tenants set clock_offset = '400 days' $$, 'up to 400 days');
select throws_ok(
  $$ update public.tenants set clock_offset = '400 days 1 second' $$, '23514', null, 'no further'
);
select is(
  tests.error_of($$ update public.tenants set clock_offset = '399 days' $$), 'PT400 invalid_clock_offset', 'never back'
);
select throws_ok(
  $$ insert into public.tenants (name, slug, clock_offset) values ('Past', 'past', '-1 second') $$, '23514', null,
  'nor behind the real time'
);
select is(
  tests.error_of('select private.tenant_now(gen_random_uuid())'), 'PT404 tenant_not_found', 'an unknown tenant has no time'
);

select * from finish();
rollback;
