begin;
select plan(6);

select tests.create_tenant('acme', 'trial');
-- As the data API sets it for a call that is a transaction of its own.
select set_config('request.path', '/rpc/consume_quota', true);

select is(current_setting('synchronous_commit'), 'on', 'commits wait for the disk');
select consume_quota(tests.tenant_id('acme'), 'tokens');
select is(current_setting('synchronous_commit'), 'on', 'also after a counter of days');
select consume_quota(tests.tenant_id('acme'), 'api_calls', 1, null, 'key');
select is(current_setting('synchronous_commit'), 'on', 'and of minutes, with an idempotency key');
select set_config('request.path', '/rpc/something_else', true);
select consume_quota(tests.tenant_id('acme'), 'api_calls');
select is(current_setting('synchronous_commit'), 'on', 'and inside another call');

select set_config('request.path', '/rpc/consume_quota', true);
select set_custom_quota(tests.tenant_id('acme'), 'api_calls', 1000, 'month');
select consume_quota(tests.tenant_id('acme'), 'api_calls');
select is(current_setting('synchronous_commit'), 'on', 'and where a window is longer');
delete from tenant_limits where tenant_id = tests.tenant_id('acme');
select consume_quota(tests.tenant_id('acme'), 'api_calls');
select is(current_setting('synchronous_commit'), 'off', 'but not where all windows are minutes');

select * from finish();
rollback;
