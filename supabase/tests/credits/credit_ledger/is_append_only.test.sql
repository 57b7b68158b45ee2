begin;
select plan(7);

select tests.create_user(name) from unnest(array['olga', 'root']) name;
insert into public.platform_admins (user_id) values (tests.user_id('root'));
select tests.create_tenant('acme', 'free');
select tests.add_member('acme', 'olga', 'owner');
select grant_credits(tests.tenant_id('acme'), 7, 'gift');
create temp table attempts (statement text);
insert into attempts values
  ('update public.credit_ledger set amount = 700'),
  ('update public.credit_ledger set balance = 700'),
  ('update public.credit_ledger set effective_at = now() - interval ''1 day'''),
  ('delete from public.credit_ledger'),
  ('truncate public.credit_ledger'),
  ('insert into public.credit_ledger (tenant_id, kind, amount, balance, grants, reason, effective_at)
    values (tests.tenant_id(''acme''), ''grant'', 1, 8, ''{}'', ''gift'', now())'),
  ('select private.book_credits(tests.tenant_id(''acme''), ''grant'', ''{"1": 1}'', ''gift'', now())'),
  ('select private.settle_credits(tests.tenant_id(''acme''), now())'),
  ('select private.lock_credit_account(tests.tenant_id(''acme''))'),
  ('select from private.credit_accounts'),
  ('update private.credit_accounts set balance = 700'),
  ('select from private.credit_grants'),
  ('update private.credit_grants set remaining = 700, granted = 700'),
  ('select from private.credit_months'),
  ('insert into private.credit_months values (tests.tenant_id(''acme''), ''il_1'', now(), now() + interval ''1 day'', ''sub_1'', 1, 0)');
grant select on attempts to anon, authenticated, service_role;
create function pg_temp.allowed() returns setof text language sql as $$
  select statement || ': ' || coalesce(tests.error_of(statement), 'allowed') from attempts
  where tests.error_of(statement) is distinct from '42501'
$$;

select tests.act_as_anon();
select is_empty('select pg_temp.allowed()', 'anon books nothing, and changes nothing of what is booked');
select tests.act_as_user('olga');
select is_empty('select pg_temp.allowed()', 'nor an owner');
select tests.act_as_user('olga', '{"role": "service_role"}');
select is_empty('select pg_temp.allowed()', 'nor with a forged claim');
select tests.act_as_user('root');
select is_empty('select pg_temp.allowed()', 'nor a platform admin');
select tests.act_as_service_role();
select is_empty('select pg_temp.allowed()', 'nor the service role');
select tests.act_as_owner();
select is((select (count(*), sum(amount), sum(balance))::text from public.credit_ledger), '(1,7,7)', 'so it stays');
delete from public.tenants where id = tests.tenant_id('acme');
select is_empty(
  'select from public.credit_ledger union all select from private.credit_grants union all select from private.credit_accounts',
  'as long as its tenant'
);

select * from finish();
rollback;
