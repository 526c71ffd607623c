foreach(file address target policy pinned headers wire forward)
	box_unit_test(egress-proxy ${file} LIBS egress_rules)
endforeach()
