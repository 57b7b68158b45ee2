begin;
select plan(43);

select tests.create_user(u) from unnest(array['olga', 'adam', 'edit', 'vic', 'sam', 'bob', 'root']) u;
select tests.create_tenant(t, 'unlimited') from unnest(array['acme', 'globex']) t;
select tests.add_member('acme', u, r) from (values
  ('olga', 'owner'::public.member_role), ('adam', 'admin'), ('edit', 'editor'), ('vic', 'viewer'), ('sam', 'owner')
) as m (u, r);
select tests.add_member('globex', 'bob', 'owner');
insert into public.platform_admins (user_id) values (tests.user_id('root'));
select suspend_user(tests.user_id('sam'), 'Fraud.');
create temp table keys as
select t || ' ' || r as name, (create_api_key(tests.tenant_id(t), r::text, r)).id
from (values ('acme', 'owner'::public.member_role), ('acme', 'admin'), ('acme', 'editor'), ('acme', 'viewer'), ('globex', 'owner')) as k (t, r);
select tests.sell_prices();
select tests.ingest('a', 'customer.subscription.created', tests.stripe_subscription('acme'));
select tests.ingest('b', 'invoice.paid', tests.stripe_invoice('acme'));
insert into public.checkout_sessions (id, tenant_id, price_id, idempotency_key) values (tests.tenant_id('checkout'), tests.tenant_id('acme'), 'startup_monthly', 'k');

create temp table calls as
select 'owner' as for_whom, replace(c, '$', quote_literal(tests.tenant_id('acme'))) as call from unnest(array[
  'get_subscription($)', 'get_invoices($)', 'get_billing_account($)', 'check_plan_change($, ''pro_monthly'')',
  'begin_checkout($, ''startup_monthly'', ''k'')', format('record_checkout_session(%L, ''cs_1'', now())', tests.tenant_id('checkout'))
]) c
union all
select 'operator', unnest(array[
  'replay_stripe_event(''a'')', 'get_webhook_counts()', 'get_billing_kpis(''-infinity'', ''infinity'')', 'set_stripe_price(''pro_monthly'', ''price_pro_monthly'')'
])
union all
select 'service', unnest(array[
  format('ingest_stripe_event(%L)', tests.stripe_event('c', 'x', '{"id": "y"}')), 'count_webhook_rejection(''x'')', 'begin_stripe_recovery()',
  'complete_stripe_recovery(now())', 'reconcile_subscriptions(''[]'', now())'
]);
grant select on calls, keys to anon, authenticated, service_role;

-- How the calls of a kind fail for somebody: a user, or an API key by its tenant and role.
create function pg_temp.act_as(p_actor text) returns void language plpgsql as $$
begin
  if p_actor = 'anon' then
    perform tests.act_as_anon();
  elsif p_actor = 'service_role' then
    perform tests.act_as_service_role();
  elsif p_actor like '% %' then
    perform tests.act_as_api_key(id) from keys where name = p_actor;
  else
    perform tests.act_as_user(p_actor, '{"role": "service_role", "app_metadata": {"role": "owner"}}');
  end if;
end
$$;
create function pg_temp.errors(p_actor text, p_for_whom text) returns text language plpgsql as $$
declare
  v_errors text;
begin
  perform pg_temp.act_as(p_actor);
  select string_agg(distinct coalesce(tests.error_of('select * from ' || call), 'none'), ', ') into v_errors from calls where for_whom = p_for_whom;
  perform tests.act_as_owner();
  return v_errors;
end
$$;
-- How many subscriptions, invoices, payments, checkouts and events somebody sees.
create function pg_temp.seen(p_actor text) returns text language plpgsql as $$
declare
  v_seen text;
begin
  perform pg_temp.act_as(p_actor);
  select concat_ws(' ', (select count(*) from public.subscriptions), (select count(*) from public.invoices),
    (select count(*) from public.payments), (select count(*) from public.checkout_sessions), (select count(*) from public.stripe_events)) into v_seen;
  perform tests.act_as_owner();
  return v_seen;
end
$$;

select is(pg_temp.errors(a, 'owner'), 'PT403 permission_denied', a || ' calls nothing that is an owner''s')
from unnest(array['adam', 'edit', 'vic', 'sam', 'bob', 'acme admin', 'acme editor', 'acme viewer', 'globex owner']) a;
select is(pg_temp.seen(a), '0 0 0 0 0', a || ' sees no row')
from unnest(array['adam', 'edit', 'vic', 'sam', 'bob', 'acme admin', 'acme editor', 'acme viewer', 'globex owner']) a;
select is(pg_temp.errors('anon', f), '42501', 'anon calls nothing that is for the ' || f) from unnest(array['owner', 'operator', 'service']) f;
select is(pg_temp.errors(a, 'operator'), 'PT403 platform_admin_only', a || ' calls nothing that is an operator''s')
from unnest(array['olga', 'bob', 'vic', 'acme owner']) a;
select is(pg_temp.errors(a, 'service'), '42501', a || ' calls nothing that is the service role''s') from unnest(array['olga', 'root', 'acme owner']) a;

select is(pg_temp.errors(a, 'owner'), 'PT409 already_subscribed, none', a || ' calls what is an owner''s') from unnest(array['olga', 'acme owner', 'root', 'service_role']) a;
select is(pg_temp.errors(a, 'operator'), 'none', a || ' calls what is an operator''s') from unnest(array['root', 'service_role']) a;
select is(pg_temp.errors('service_role', 'service'), 'none', 'the service role calls what is its own');
select is(pg_temp.seen(a), '1 1 1 1 0', a || ' sees the rows, but not what Stripe told') from unnest(array['olga', 'acme owner']) a;
select is(pg_temp.seen(a), '1 1 1 1 3', a || ' sees all') from unnest(array['root', 'service_role']) a;

-- A permission that the role loses is lost at once.
delete from public.role_permissions where role = 'owner' and permission = 'billing:write';
select is(pg_temp.errors('olga', 'owner'), 'PT403 permission_denied, none', 'without billing:write an owner only reads');
create function pg_temp.allowed(p_actor text) returns setof text language plpgsql as $$
begin
  perform pg_temp.act_as(p_actor);
  return query select split_part(call, '(', 1) from calls where for_whom = 'owner' and tests.error_of('select * from ' || call) is null;
  perform tests.act_as_owner();
end
$$;
select set_eq($$ select pg_temp.allowed('olga') $$, array['get_subscription', 'get_invoices'], 'the subscription and the invoices');
delete from public.role_permissions where role = 'owner' and permission = 'billing:read';
select is(pg_temp.errors('olga', 'owner'), 'PT403 permission_denied', 'without billing:read not even these');
select is(pg_temp.seen('olga'), '0 0 0 0 0', 'nor any row');

select * from finish();
rollback;
