"""ROS 2 nodes around the controller: parameters, topics and deadlines, no maths."""
