begin;
select plan(13);

select tests.create_user(name) from unnest(array['olga', 'root']) name;
select tests.create_tenant('acme', 'pro');
select tests.add_member('acme', 'olga', 'owner');
create function pg_temp.make(p_expires_at timestamptz default null) returns uuid language sql as $$
  select id from create_api_key(tests.tenant_id('acme'), 'CI', 'admin', p_expires_at)
$$;
create function pg_temp.is_usable(p_id uuid) returns boolean language sql as $$
  select exists (select from private.usable_api_key(p_id))
$$;

select tests.act_as_user('olga');
create temp table made as select pg_temp.make(now() + interval '1 hour') as first, pg_temp.make() as other;
select tests.act_as_api_key((select first from made));
create temp table children as
select pg_temp.make() as open, pg_temp.make(now() + interval '1 day') as longer, pg_temp.make(now() + interval '1 minute') as shorter,
  (invite_member(tests.tenant_id('acme'), 'a@example.com', 'admin')).invite_id as invite;
select tests.act_as_owner();
grant select on children to authenticated;
select results_eq(
  $$ select k.expires_at - now() from children c, public.api_keys k where k.id in (c.open, c.longer) $$,
  $$ values (interval '1 hour'), (interval '1 hour') $$, 'what a key makes ends when it does'
);
select is(
  (select k.expires_at - now() from children c, public.api_keys k where k.id = c.shorter), interval '1 minute', 'or earlier'
);
select results_eq(
  $$ select distinct k.created_by, k.parent_id = (select first from made) from public.api_keys k where k.parent_id is not null $$,
  $$ select tests.user_id('olga'), true $$, 'it is known by which key and which user it was made'
);
select tests.act_as_api_key((select open from children));
create temp table grandchildren as select pg_temp.make() as id;
select tests.act_as_owner();
select ok(pg_temp.is_usable(id), 'a key of a key of a key works') from grandchildren;

select suspend_user(tests.user_id('olga'), 'fraud');
select ok(not pg_temp.is_usable(first), 'while who made it is suspended, a key does not work') from made;
select ok(not pg_temp.is_usable(id), 'nor do those that it made') from grandchildren;
select tests.act_as_api_key((select other from made));
select is_empty('select from public.tenants', 'a token from before is of no use');
select tests.act_as_owner();
select reactivate_user(tests.user_id('olga'));
select ok(pg_temp.is_usable(first), 'then it works again') from made;

select tests.act_as_user('olga');
select revoke_api_key(first) from made;
select tests.act_as_owner();
select ok(not pg_temp.is_usable(first), 'a revoked key does not') from made;
select ok(not pg_temp.is_usable(open) and not pg_temp.is_usable(longer), 'nor those that it made') from children;
select ok(not pg_temp.is_usable(id), 'nor those that they made') from grandchildren;
select ok(pg_temp.is_usable(other), 'another key is none of these') from made;
select is((select status::text from public.tenant_invites i, children c where i.id = c.invite), 'revoked', 'its invites are revoked');

select * from finish();
rollback;
