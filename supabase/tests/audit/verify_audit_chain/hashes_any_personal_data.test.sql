begin;
select plan(2);

-- Each kind of personal data alone.
create temp table alone as
select n, log_audit_event(
  null, 'alone', ip_address => case n when 1 then '203.0.113.7'::inet end, user_agent => case n when 2 then 'curl/8' end,
  personal => case n when 3 then '{"a": 1}'::jsonb end
) as id
from generate_series(0, 3) n;
select results_eq(
  $$ select n, u.personal_digest is not null from alone a join private.audit_unsealed u on u.event_id = a.id order by 1 $$,
  'values (0, false), (1, true), (2, true), (3, true)', 'any of them has a hash'
);
update public.audit_events set personal = '{"a": 2}' where event_id = (select id from alone where n = 3);
select results_eq(
  $$ select p ->> 'event_id', p ->> 'problem' from verify_audit_chain(null) v, jsonb_array_elements(v.problems) p $$,
  $$ select id::text, 'personal_data_edited' from alone where n = 3 $$, 'so that an edit of it is found'
);

select * from finish();
rollback;
