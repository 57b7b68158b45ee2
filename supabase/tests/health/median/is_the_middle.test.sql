begin;
select plan(1);

select is(
  array[private.median('{5}'), private.median('{1,9}'), private.median('{9,1,2}'), private.median('{4,1,3,2}'), private.median('{0,0,0,100}'), private.median('{}')],
  array[5, 5, 2, 2.5, 0, null]::numeric[], 'of as many above as below, or between the two in the middle'
);

select * from finish();
rollback;
