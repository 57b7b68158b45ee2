begin;
select plan(16);

create function pg_temp.uptime(p_samples jsonb, p_since interval default '1 hour') returns numeric language plpgsql as $$
begin
  delete from private.health_samples;
  insert into private.health_samples (sampled_at, status, components, quota_allowed, quota_denied)
  select now() - (key || ' seconds')::interval, value #>> '{}', '{}', 0, 0 from jsonb_each(p_samples);
  return private.uptime(now() - p_since);
end
$$;

select is(pg_temp.uptime('{}'), null, 'without a sample nothing is known');
select is(pg_temp.uptime('{"0": "healthy"}'), null, 'nor with one of now');
select is(pg_temp.uptime('{"30": "healthy"}'), 1::numeric, 'a sample vouches for the time after it');
select is(pg_temp.uptime('{"90": "healthy"}'), 1::numeric, 'for a minute and a half');
select is(pg_temp.uptime('{"100": "healthy"}'), 0.9, 'and no longer');
select is(pg_temp.uptime('{"300": "healthy", "270": "healthy", "240": "healthy", "30": "healthy"}'), 0.6, 'a gap is not up: 30 + 30 + 90 + 30 of 300 seconds');
select is(pg_temp.uptime('{"300": "healthy", "200": "unhealthy", "100": "degraded"}'), 0.6, 'nor is what was unhealthy; what was degraded is: 90 + 90 of 300 seconds');
select is(pg_temp.uptime('{"300": "unhealthy", "210": "healthy", "150": "healthy", "60": "healthy"}'), 0.7, '60 + 90 + 60 of 300 seconds');
select is(pg_temp.uptime('{"300": "unhealthy"}'), 0::numeric, 'nothing was up');
select is(pg_temp.uptime('{"300": "healthy", "200": "healthy", "100": "healthy"}', '200 seconds'), 0.9, 'since then, the moment included');
select is(pg_temp.uptime('{"230": "healthy", "100": "healthy"}', '200 seconds'), 0.75, 'a sample before vouches for its part: 60 + 90 of 200 seconds');
select is(pg_temp.uptime((select jsonb_object_agg(30 * i, 'healthy') from generate_series(1, 2880) i), '24 hours'), 1::numeric, 'twice a minute for a day');
select is(pg_temp.uptime((select jsonb_object_agg(30 * i, 'healthy') from generate_series(1, 2880) i where i not between 1000 and 1287), '24 hours'), 0.90069, 'less 288 samples, or 8580 of 86400 seconds');
select is(pg_temp.uptime('{"3": "healthy", "2": "unhealthy", "1": "healthy"}'), 0.66667, 'as a share of 1, to five places');
select is(pg_temp.uptime('{"-30": "healthy", "60": "healthy"}'), 1::numeric, 'a sample of the future is none');
select is(
  pg_temp.uptime((select jsonb_object_agg(30 * i, 'healthy') from generate_series(1, 60) i), '1 hour'), 1::numeric,
  'what was before the first sample ever does not'
);

select * from finish();
rollback;
