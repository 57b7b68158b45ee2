begin;
select plan(8);

select tests.create_user(name) from unnest(array['vic', 'edit', 'adam', 'olga']) name;
select tests.create_tenant('acme', 'trial');
select tests.create_tenant('rival', 'trial');
select tests.add_member('acme', 'vic', 'viewer');
select tests.add_member('acme', 'edit', 'editor');
select tests.add_member('acme', 'adam', 'admin');
select tests.add_member('acme', 'olga', 'owner');

create temp table asked as
select unnest(array[
  'tenant:read', 'tenant:write', 'workflow:create', 'workflow:read', 'workflow:update', 'workflow:delete',
  'workflow:execute', 'member:invite', 'member:remove', 'member:read', 'apikey:create', 'apikey:read', 'apikey:delete',
  'billing:read', 'billing:write', 'alerts:read', 'alerts:write', 'usage:read', 'usage:write', 'audit:read',
  'execution:read', 'execution:write', 'nothing:known'
]) as permission;
grant select on asked to authenticated;
prepare held as select permission from asked where private.has_permission(tests.tenant_id('acme'), permission);

select tests.act_as_user('vic');
select set_eq(
  'held',
  array[
    'tenant:read', 'workflow:read', 'member:read', 'apikey:read', 'alerts:read', 'usage:read', 'execution:read'
  ],
  'a viewer reads, but neither bills nor the audit trail'
);
select tests.act_as_user('edit');
select set_eq(
  'held',
  array[
    'tenant:read', 'workflow:read', 'member:read', 'apikey:read', 'alerts:read', 'usage:read', 'execution:read',
    'usage:write', 'execution:write', 'workflow:create', 'workflow:update', 'workflow:delete', 'workflow:execute'
  ],
  'an editor also works'
);
select tests.act_as_user('adam');
select set_eq(
  'held', $$ select permission from asked where permission not in ('billing:read', 'billing:write', 'nothing:known') $$,
  'an admin may all but billing'
);
select tests.act_as_user('olga');
select set_eq(
  'held', $$ select permission from asked where permission <> 'nothing:known' $$, 'an owner may all there is'
);
select is_empty(
  $$ select permission from asked where private.has_permission(tests.tenant_id('rival'), permission) $$,
  'and nothing in another tenant'
);
select is_empty(
  $$ select permission from asked where private.has_permission(null, permission) $$, 'nor in none'
);
select set_eq(
  $$ select tenant_id from private.tenant_ids_with('billing:write') tenant_id $$, array[tests.tenant_id('acme')],
  'tenant_ids_with agrees'
);
select tests.act_as_user('adam');
select is_empty($$ select private.tenant_ids_with('billing:write') $$, 'in denying, too');

select * from finish();
rollback;
