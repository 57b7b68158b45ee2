begin;
select plan(1);

create function pg_temp.uptime(p_samples jsonb, p_since interval default '1 hour') returns numeric language plpgsql as $$
begin
  delete from private.health_samples;
  insert into private.health_samples (sampled_at, status, components, quota_allowed, quota_denied)
  select now() - (key || ' seconds')::interval, value #>> '{}', '{}', 0, 0 from jsonb_each(p_samples);
  return private.uptime(now() - p_since);
end
$$;

select is(
  pg_temp.uptime((select jsonb_object_agg(30 * i, 'healthy') from generate_series(1, 200) i where i <= 60 or i > 130), '1 hour'), 0.5,
  'an outage that was under way when the time began counts'
);

select * from finish();
rollback;
