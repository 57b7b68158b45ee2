begin;
select plan(3);

select tests.create_tenant('acme', 'free');
select is(tests.error_of(format('select generate_usage_report(%L, %L, %L)', tests.tenant_id('acme'), f, t)), 'PT400 invalid_range', f || ' to ' || t || ' is no range for a report')
from (values ('-infinity', 'infinity'), ('-infinity', '2026-02-01'), ('infinity', 'infinity')) ranges (f, t);

select * from finish();
rollback;
