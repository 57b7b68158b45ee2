begin;
select plan(16);

select tests.create_tenant('acme', 'trial');
create temp table held (name text, id uuid);
insert into held
select name, r.reservation_id
from (values ('settled', 10), ('released', 11), ('expired', 12), ('open', 13)) h (name, amount)
cross join lateral reserve_quota(tests.tenant_id('acme'), 'tokens', h.amount) r;
create function pg_temp.fault(p_name text, p_amount text default '1') returns text language sql as $$
  select tests.error_of(format('select extend_reservation(%L, %L)', (select id from held where name = p_name), p_amount))
$$;
select settle_reservation(id, 10) from held where name = 'settled';
select release_reservation(id) from held where name = 'released';
update private.quota_reservations set expires_at = now() where id = (select id from held where name = 'expired');
select private.expire_reservations();
create temp table used_then as select used from private.quota_counters;

select is(pg_temp.fault('settled'), 'PT409 reservation_settled', 'one that was settled');
select is(pg_temp.fault('released'), 'PT409 reservation_released', 'released');
select is(pg_temp.fault('expired'), 'PT409 reservation_expired', 'or swept is over');
select is(tests.error_of('select extend_reservation(gen_random_uuid(), 1)'), 'PT404 reservation_not_found', 'an unknown one is not found');
select is(tests.error_of('select extend_reservation(null, 1)'), 'PT404 reservation_not_found', 'nor none');
select is(pg_temp.fault('open', '0'), 'PT400 invalid_amount', 'nothing is no extension');
select is(pg_temp.fault('open', '-1'), 'PT400 invalid_amount', 'nor less');
select is(pg_temp.fault('open', null), 'PT400 invalid_amount', 'nor an unknown amount');
select is(pg_temp.fault('open', '9007199254740992'), 'PT400 invalid_amount', 'nor more than JSON holds exactly');
select is(pg_temp.fault('open', 'NaN'), '22P02', 'nor what is no number');
select is(pg_temp.fault('unknown', '0'), 'PT400 invalid_amount', 'of one that is none, either');
select results_eq('select used from private.quota_counters', 'select used from used_then', 'none of these took anything');
select is(
  (select (amount, spent)::text from private.quota_reservations where status = 'open'), '(13,0)', 'nor declared anything spent'
);

-- The id authorises: a stream may outlive its token, and its tenant's suspension.
update public.tenants set status = 'suspended' where id = tests.tenant_id('acme');
grant select on held to anon, authenticated;
select tests.act_as_anon();
select is(pg_temp.fault('open'), null, 'anon extends by the id');
select tests.act_as_user('nobody');
select is(pg_temp.fault('open'), null, 'so does any user');
select tests.act_as_owner();
select is((select (amount, subject)::text from private.quota_reservations where status = 'open'), '(15,"")', 'for whom it was made');

select * from finish();
rollback;
