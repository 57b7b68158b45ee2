begin;
select plan(15);

select tests.create_user(name) from unnest(array['olga', 'new', 'other', 'late', 'no', 'sus']) name;
select tests.create_tenant('acme', 'pro');
select tests.add_member('acme', 'olga', 'owner');
create temp table tokens (name text, token text);
insert into tokens
select n, (invite_member(tests.tenant_id('acme'), n || '@example.com', 'editor')).token
from unnest(array['new', 'late', 'no', 'sus']) n;
grant select on tokens to authenticated;
create function pg_temp.answer(p_verb text, p_name text) returns text language sql as $$
  select tests.error_of(format('select %I_invite((select token from tokens where name = %L))', p_verb, p_name))
$$;

select tests.act_as_user('other');
select is(pg_temp.answer('accept', 'new'), 'PT403 invite_for_another', 'whoever has another address is refused');
select tests.act_as_user('other', '{"email": "new@example.com", "user_metadata": {"email": "new@example.com"}}');
select is(pg_temp.answer('accept', 'new'), 'PT403 invite_for_another', 'whatever their claims say');
select is(tests.error_of($$ select accept_invite('inv_none') $$), 'PT404 invite_not_found', 'another token opens nothing');
select is(tests.error_of('select accept_invite(null)'), 'PT404 invite_not_found', 'nor does none');
select tests.act_as_anon();
select is(tests.error_of($$ select accept_invite('inv_none') $$), '42501', 'nobody accepts without signing in');

select tests.act_as_user('new');
select is(pg_temp.answer('accept', 'new'), null, 'who was invited accepts');
select is(pg_temp.answer('accept', 'new'), 'PT409 invite_closed', 'once');
select is(pg_temp.answer('reject', 'new'), 'PT409 invite_closed', 'and cannot decline it then');
select tests.act_as_user('no');
select is(pg_temp.answer('reject', 'no'), null, 'another declines');
select is(pg_temp.answer('accept', 'no'), 'PT409 invite_closed', 'for good');

select tests.act_as_owner();
select suspend_user(tests.user_id('sus'), 'fraud');
select tests.act_as_user('sus');
select is(pg_temp.answer('accept', 'sus'), 'PT403 permission_denied', 'a suspended user joins nothing');

select tests.act_as_owner();
update public.tenants set clock_offset = '7 days' where id = tests.tenant_id('acme');
select tests.act_as_user('late');
select is(pg_temp.answer('accept', 'late'), 'PT409 invite_expired', 'after seven days of the tenant''s time it is over');

select tests.act_as_owner();
select results_eq(
  format('select user_id, role::text from public.memberships where tenant_id = %L and role <> %L', tests.tenant_id('acme'), 'owner'),
  $$ values (tests.user_id('new'), 'editor') $$, 'one has joined, in the role of the invite'
);
select set_custom_quota(tests.tenant_id('acme'), 'team_members', 3);
insert into tokens select 'other', (invite_member(tests.tenant_id('acme'), 'other@example.com', 'viewer')).token;
select set_custom_quota(tests.tenant_id('acme'), 'team_members', 2);
select tests.act_as_user('other');
select is(pg_temp.answer('accept', 'other'), 'PT403 seat_limit_reached', 'nobody joins when the seats have become fewer');
select tests.act_as_owner();
select is(
  (select status::text from public.tenant_invites where email = 'other@example.com'), 'pending', 'the invite waits for one'
);

select * from finish();
rollback;
