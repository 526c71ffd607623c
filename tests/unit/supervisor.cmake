foreach(file backoff envfile logfile)
	box_unit_test(supervisor ${file} LIBS box_supervisor)
endforeach()
