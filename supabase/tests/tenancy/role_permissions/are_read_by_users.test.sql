begin;
select plan(6);

select tests.create_user('eve');
select tests.act_as_user('eve');
select is(
  (select count(*) from public.role_permissions), (7 + 13 + 20 + 22)::bigint, 'anyone signed in reads what roles may do'
);
select throws_ok(
  $$ insert into public.role_permissions (role, permission) values ('viewer', 'billing:write') $$, '42501', null,
  'and changes nothing'
);
select throws_ok('delete from public.role_permissions', '42501', null, 'at all');
select tests.act_as_service_role();
select throws_ok(
  $$ insert into public.role_permissions (role, permission) values ('viewer', 'billing:write') $$, '42501', null,
  'nor does the service role'
);
select tests.act_as_anon();
select throws_ok('select from public.role_permissions', '42501', null, 'anon does not read it');
select tests.act_as_owner();
select throws_ok(
  $$ insert into public.role_permissions (role, permission) values ('viewer', 'everything') $$, '23514', null,
  'a permission is a thing and a verb'
);

select * from finish();
rollback;
