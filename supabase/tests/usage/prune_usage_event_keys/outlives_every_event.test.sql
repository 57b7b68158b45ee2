begin;
select plan(4);

select tests.create_tenant('acme', 'trial');
insert into private.usage_event_keys (tenant_id, event_id, recorded_at)
values (tests.tenant_id('acme'), 'old', now() - interval '32 days 1 second'),
  (tests.tenant_id('acme'), 'recent', now() - interval '32 days'), (tests.tenant_id('acme'), 'new', now());

select private.prune_usage_event_keys();
select set_eq('select event_id from private.usage_event_keys', array['recent', 'new'], 'keys are kept for 32 days');
select is(
  (select (accepted, duplicates)::text from record_usage(
    tests.tenant_id('acme'), '[{"event_id": "recent", "event_type": "search"}, {"event_id": "old", "event_type": "search"}]'
  )),
  '(1,1)', 'until then the event is known'
);
select tests.create_tenant('ahead', 'trial');
update public.tenants set clock_offset = interval '300 days' where id = tests.tenant_id('ahead');
insert into private.usage_event_keys (tenant_id, event_id, recorded_at)
values (tests.tenant_id('ahead'), 'of next year', now() - interval '33 days');
select private.prune_usage_event_keys();
select ok(
  exists (select from private.usage_event_keys where tenant_id = tests.tenant_id('ahead')),
  'and as long as there is a test clock, whose events may still be sent'
);
select tests.act_as_service_role();
select throws_ok('select private.prune_usage_event_keys()', '42501', null, 'no API role prunes');

select * from finish();
rollback;
