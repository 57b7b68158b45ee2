begin;
select plan(13);

select pg_advisory_xact_lock(hashtext('meterbase.seal_audit_events')); -- passes take turns, and hold nothing yet
select tests.create_tenant('acme', 'trial');
create function pg_temp.write() returns uuid language plpgsql as $$
declare
  v_event public.audit_events := private.new_audit_event(tests.tenant_id('acme'), 'x', 'x');
begin
  v_event.entity_type := 'thing';
  v_event.entity_id := '1';
  v_event.old_values := '{"a": 1}';
  v_event.new_values := '{"a": 2}';
  v_event.changes_summary := 'a';
  v_event.error_message := 'none';
  v_event.request_id := 'r-1';
  v_event.ip_address := '203.0.113.7';
  v_event.user_agent := 'curl/8';
  v_event.personal := '{"email": "ann@example.com"}';
  return private.write_audit_event(v_event);
end
$$;
-- What verification says after a superuser changed one column of an event, which is then undone.
create function pg_temp.after_edit(p_event_id uuid, p_column text, p_type text, p_value text) returns jsonb language plpgsql as $$
declare
  v_problems jsonb;
  v_rows int;
begin
  begin
    execute format(
      'update public.audit_events set %I = %s where event_id = %L and %1$I is distinct from %2$s',
      p_column, coalesce(format('%L::%s', p_value, p_type), 'null'), p_event_id
    );
    get diagnostics v_rows = row_count;
    select problems into v_problems from verify_audit_chain(tests.tenant_id('acme'));
    raise exception using errcode = 'ZZ999';
  exception when sqlstate 'ZZ999' then
    return case when v_rows = 1 then v_problems else '"not edited"' end;
  end;
end
$$;
-- Every column there is, with another value of its type, and null where it may be.
create temp table edits as
select a.attname::text as col, format_type(a.atttypid, null) as type, v.value,
  a.attname in ('ip_address', 'user_agent', 'personal') as is_personal, a.attname in ('event_id', 'occurred_at') as is_key
from pg_attribute a
join pg_type t on t.oid = a.atttypid
cross join lateral (
  select case
    when t.typtype = 'e' then (
      select enumlabel from pg_enum where enumtypid = t.oid and enumlabel not in ('system', 'info', 'success', 'database') limit 1
    )
    when t.typname = 'uuid' then gen_random_uuid()::text
    when t.typname = 'timestamptz' then (now() + interval '1 microsecond')::text
    when t.typname = 'inet' then '203.0.113.8'
    when t.typname = 'jsonb' then '{"a": 3}'
    when t.typname = 'text' then 'edited'
  end
  union all
  select null where not a.attnotnull
) as v (value)
where a.attrelid = 'public.audit_events'::regclass and a.attnum > 0 and not a.attisdropped;

select is((select count(distinct col) from edits), 21::bigint, 'there are 21 columns');
select is_empty(
  'select col from edits group by col having count(value) = 0', 'with a value to edit each to'
);

create temp table first as select pg_temp.write() as id;
select private.seal_audit_events();
create temp table waiting as select pg_temp.write() as id;
create temp table sealed as
select e.*, pg_temp.after_edit((select id from first), col, type, value) as problems from edits e;
create temp table unsealed as
select e.*, pg_temp.after_edit((select id from waiting), col, type, value) as problems from edits e;
create function pg_temp.problem(p_id uuid, p_seq int, p_problem text) returns jsonb language sql as $$
  select jsonb_build_array(jsonb_build_object('seq', p_seq, 'event_id', p_id, 'occurred_at', now(), 'problem', p_problem))
$$;

select is_empty(
  $$ select col, value, problems from sealed where not is_personal and not is_key
     and problems is distinct from pg_temp.problem((select id from first),
       (select seq::int from private.audit_chain where event_id = (select id from first)),
       'event_edited') and not (col = 'tenant_id') $$,
  'an edit of any other column of a sealed event is told with its place and id'
);
select is_empty(
  $$ select col, value, problems from unsealed where not is_personal and not is_key and col <> 'tenant_id'
     and problems is distinct from pg_temp.problem((select id from waiting), null, 'event_edited') $$,
  'so is one of an event that waits'
);
select is_empty(
  $$ select col, value, problems from sealed where is_personal
     and problems is distinct from pg_temp.problem((select id from first),
       (select seq::int from private.audit_chain where event_id = (select id from first)), 'personal_data_edited') $$,
  'an edit of personal data is told as such'
);
select is_empty(
  $$ select col, value, problems from unsealed where is_personal
     and problems is distinct from pg_temp.problem((select id from waiting), null, 'personal_data_edited') $$,
  'before it is sealed as well'
);
select is_empty(
  $$ select col, problems from sealed where is_key and (problems -> 0 ->> 'problem' is distinct from 'event_deleted'
     or problems -> 0 ->> 'event_id' is distinct from (select id::text from first)) $$,
  'an event with another id or time is not the one that was sealed'
);
select is_empty(
  $$ select col, problems from unsealed where is_key and problems -> 0 ->> 'problem' is distinct from 'event_deleted' $$,
  'nor the one that waits'
);
select is(
  (select problems -> 1 ->> 'problem' from sealed where col = 'event_id'), 'event_not_in_chain', 'and is told as one that was added'
);
select is_empty(
  $$ select value, problems from sealed where col = 'tenant_id' and problems -> 0 ->> 'problem' is distinct from 'event_edited'
     union all
     select value, problems from unsealed where col = 'tenant_id' and problems -> 0 ->> 'problem' is distinct from 'event_edited' $$,
  'an event that was moved to another tenant, or to none, is missed where it was'
);

update public.audit_events set personal = '{"email": "x"}' where event_id = (select id from first);
update private.audit_chain set personal_salt = null where event_id = (select id from first);
select is(
  (select problems -> 0 ->> 'problem' from verify_audit_chain(tests.tenant_id('acme'))), 'personal_data_edited',
  'without its salt, no personal data is what was written'
);
delete from private.audit_chain where event_id = (select id from first);
select is(
  (select is_intact from verify_audit_chain(tests.tenant_id('acme'))), false, 'an edit is no better without its link'
);
select is(
  pg_temp.after_edit((select id from waiting), 'severity', 'public.audit_severity', 'info'), '"not edited"', 'what is not edited is not'
);

select * from finish();
rollback;
