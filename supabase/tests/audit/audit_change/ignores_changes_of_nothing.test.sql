begin;
select plan(2);

select tests.create_user('ann');
select tests.create_tenant('acme', 'trial');
select tests.add_member('acme', 'ann', 'admin');
select set_custom_quota(tests.tenant_id('acme'), 'tokens', 5);
delete from public.audit_events;

update public.tenants set name = name;
update public.tenants set updated_at = updated_at - interval '1 day';
update public.memberships set role = role;
select set_custom_quota(tests.tenant_id('acme'), 'tokens', 5);
select is_empty('select event_type from public.audit_events', 'an update that changes nothing leaves no event');

update public.tenants set name = upper(name) where id = tests.tenant_id('acme');
select is((select count(*) from public.audit_events), 1::bigint, 'one that does leaves one');

select * from finish();
rollback;
