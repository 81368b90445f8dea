#!/bin/bash
# Two random numbers, to see that scripts work, and as the start of your own.
# Tells: random_gen as it is; random_gen2 as its change per second.
# Needs: bash.

myvalue=$RANDOM
mytype=random_gen
check_type=my_bash_random
check_style=stack

myvalue2=$RANDOM
mytype2=random_gen2
check_type2=my_bash_random2
check_style2=rate

echo $mytype $myvalue $check_type $check_style
echo $mytype2 $myvalue2 $check_type2 $check_style2
