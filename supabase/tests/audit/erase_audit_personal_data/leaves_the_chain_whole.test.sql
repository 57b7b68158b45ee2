begin;
select plan(22);

select pg_advisory_xact_lock(hashtext('meterbase.seal_audit_events')); -- passes take turns, and hold nothing yet
select tests.create_user(name) from unnest(array['ann', 'bob']) name;
select tests.create_tenant('acme', 'trial');
select tests.add_member('acme', 'ann', 'owner');
select private.seal_audit_events();
select set_config('request.headers', '{"x-real-ip": "203.0.113.7", "user-agent": "curl/8", "x-request-id": "r-1"}', true);
create function pg_temp.write(p_type text) returns void language sql as $$
  select log_audit_event(tests.tenant_id('acme'), p_type, personal => '{"phone": "555"}')
$$;
select tests.act_as_user('ann');
select pg_temp.write('by_ann');
select tests.act_as_owner();
select private.seal_audit_events();
select tests.act_as_user('ann');
select pg_temp.write('by_ann');
select tests.act_as_owner();
-- Of others: what bob did to ann, what is about an address, and what is about none.
select log_audit_event(null, 'by_bob', actor_type => 'tenant', actor_id => tests.user_id('bob')::text,
  entity_type => 'membership', entity_id => tests.user_id('ann')::text, ip_address => '203.0.113.9', user_agent => 'bob');
select log_audit_event(null, 'about', actor_type => 'system', personal => jsonb_build_object('email', e), ip_address => '203.0.113.9')
from unnest(array['Cleo@Example.com', 'cleo@example.org']) e;
-- About ann: by her address, as in an invite, and by her id.
create temp table about_ann as
select log_audit_event(null, 'about_ann', actor_type => 'system', entity_type => t, entity_id => i, personal => p) as id
from (values
  ('invite', '1', '{"email": "Ann@Example.com"}'::jsonb), ('user', tests.user_id('ann')::text, '{"phone": "555"}')
) as e (t, i, p);
select log_audit_event(
  null, 'about_another', actor_type => 'system', entity_type => 'order', entity_id => tests.user_id('ann')::text, personal => '{"phone": "556"}'
);
create function pg_temp.personal(p_type text) returns setof text language sql as $$
  select format('%s|%s|%s', ip_address, user_agent, personal) from public.audit_events where event_type = p_type order by 1
$$;
create temp table before as select * from public.audit_events;
create temp table digests as
select event_id, digest, personal_digest from private.audit_chain union all
select event_id, digest, personal_digest from private.audit_unsealed;

select set_eq(
  $$ select pg_temp.personal('by_ann') $$, $$ values ('203.0.113.7|curl/8|{"phone": "555"}') $$,
  'what ann did, sealed and not yet, carries data of hers'
);
select is((select count(*) from private.audit_chain c join public.audit_events e using (event_id) where event_type = 'by_ann'), 1::bigint, 'once sealed');
select is(
  (select erase_audit_personal_data(user_id => tests.user_id('ann'))), 5::bigint,
  'it is erased of every event, of what is about her and of her sign-up'
);
select set_eq($$ select pg_temp.personal('about_ann') $$, $$ values ('||') $$, 'by her address as well as by her id');
select set_eq(
  $$ select personal from public.audit_events where event_type = 'about_another' $$, $$ values ('{"phone": "556"}'::jsonb) $$,
  'a thing that has the same id is not her'
);
select set_eq($$ select pg_temp.personal('by_ann') $$, $$ values ('||') $$, 'nothing of it is left');
select set_eq(
  $$ select event_type, pg_temp.personal(event_type) from public.audit_events where entity_id = tests.user_id('ann')::text and event_type = 'user_signup' $$,
  $$ select 'user_signup', pg_temp.personal('user_signup') $$, 'her address is gone'
);
select is_empty($$ select from public.audit_events where personal ->> 'email' ilike 'ann@%' $$, 'everywhere');
select is(
  (select count(*) from public.audit_events e where e.event_type in ('by_ann', 'user_signup') and e.request_id is not null), 2::bigint,
  'what is not personal stays'
);
select results_eq($$ select pg_temp.personal('by_bob') $$, $$ values ('203.0.113.9|bob|') $$, 'what another did to her is another''s');
select is((select count(*) from public.audit_events where personal ->> 'email' = 'bob@example.com'), 1::bigint, 'another''s sign-up stays');
select is((select problems from verify_audit_chain(tests.tenant_id('acme'))), '[]', 'her tenant''s chain is whole');
select is((select problems from verify_audit_chain(null)), '[]', 'so is that of no tenant');
select is_empty(
  $$ select from (select event_id, personal_salt from private.audit_chain union all select event_id, personal_salt from private.audit_unsealed) s
     join public.audit_events e using (event_id) where event_type = 'by_ann' and personal_salt is not null $$,
  'the salts are gone, so nobody can guess what was hashed'
);
select set_eq(
  $$ select event_id, digest, personal_digest from private.audit_chain union all
     select event_id, digest, personal_digest from private.audit_unsealed u where event_id in (select event_id from digests) $$,
  'select * from digests', 'the hashes stay'
);
select set_eq(
  $$ select event_id, personal_salt is null from (
       select event_id, personal_salt from private.audit_chain union all select event_id, personal_salt from private.audit_unsealed) s
     join before using (event_id) $$,
  $$ select event_id, event_type in ('by_ann', 'about_ann') or (event_type = 'user_signup' and entity_id = tests.user_id('ann')::text) from before $$,
  'no other event''s salt is touched'
);
select private.seal_audit_events();
select is((select bool_and(is_intact) from unnest(array[tests.tenant_id('acme'), null]) t, verify_audit_chain(t)), true, 'whole, too, when sealed');
update public.audit_events set ip_address = '203.0.113.7' where event_type = 'by_ann';
select is(
  (select string_agg(p ->> 'problem', ' ') from verify_audit_chain(tests.tenant_id('acme')) v, jsonb_array_elements(problems) p),
  'personal_data_edited personal_data_edited', 'nobody can put data back'
);

select is((select erase_audit_personal_data(user_id => tests.user_id('ann'))), 2::bigint, 'unless it is erased again');
select is((select erase_audit_personal_data(user_id => tests.user_id('ann'))), 0::bigint, 'after which there is none');
select is((select erase_audit_personal_data(email => 'CLEO@example.com')), 1::bigint, 'data goes by an address as well, however it is written');
select set_eq(
  $$ select pg_temp.personal('about') $$, $$ values ('||'), ('203.0.113.9|curl/8|{"email": "cleo@example.org"}') $$, 'and by no other'
);

select * from finish();
rollback;
