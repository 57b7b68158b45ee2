begin;
select plan(5);

select is(private.readable_count(null), 0::bigint, 'nothing is 0');
select is(private.readable_count(9007199254740991), 9007199254740991, 'an integer that JavaScript holds');
select is(private.readable_count(9007199254740992), 9007199254740991, 'is the largest');
select is(private.readable_count(1e30), 9007199254740991, 'however much there is');
select is(private.readable_count(3), 3::bigint, 'what is less is as it is');

select * from finish();
rollback;
