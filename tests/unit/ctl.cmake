foreach(file client diff options place print)
	box_unit_test(ctl ${file} LIBS ctl_parts)
endforeach()
