namespace Microsoft.ML.Attention.Onnx.Kernels.Cpu;

/// <summary>
/// Linear assignment, an item of the batch at a time: for each target the shortest augmenting path, found with potentials as in the
/// operator's definition, whose rows and columns count from 1.
/// </summary>
internal sealed unsafe class LinearAssignmentKernel : IKernel
{
    public void Compute(KernelContext context)
    {
        var cost = context.Input(0).Expect("[N, Q, T]", -1, -1, -1);
        var dims = cost.Shape.Dims;
        var work = new Work
        {
            Cost = cost.Data<float>(),
            Count = context.Input(1).Expect("[N]", dims[0]).Data<long>(),
            Assignment = context.Output<long>(0, dims[0], dims[2]),
            Queries = (int)dims[1],
            Targets = (int)dims[2],
        };
        for (var item = 0; item < dims[0]; item++)
        {
            var most = Math.Min(work.Queries, work.Targets);
            if (work.Count[item] < 0 || work.Count[item] > most)
                throw new KernelException($"item {item} has {work.Count[item]} targets, expected 0 to {most} for {work.Queries} queries");
        }
        context.ParallelFor(work, (int)dims[0]);
    }

    public void Dispose()
    {
    }

    private struct Work : IParallelWork
    {
        public float* Cost;
        public long* Count;
        public long* Assignment;
        public int Queries;
        public int Targets;

        private float* _rowPotential;
        private float* _columnPotential;
        private float* _distance;
        private int* _rowOf;
        private int* _before;
        private bool* _isReached;
        private float* _table;

        public void Run(int index)
        {
            var work = this;
            work.Lay(ThreadScratch.Get(work.Lay(null)));
            work.Assign(index);
        }

        private long Lay(void* memory)
        {
            var partition = new Partition(memory);
            _rowPotential = partition.Take<float>(Targets + 1);
            _columnPotential = partition.Take<float>(Queries + 1);
            _distance = partition.Take<float>(Queries + 1);
            _rowOf = partition.Take<int>(Queries + 1);
            _before = partition.Take<int>(Queries + 1);
            _isReached = partition.Take<bool>(Queries + 1);
            _table = partition.Take<float>((long)Targets * Queries);
            return partition.Bytes;
        }

        private readonly void Assign(int item)
        {
            var count = (int)Count[item];
            var cost = Cost + ((long)item * Queries * Targets);
            for (var query = 0; query < Queries; query++)
            {
                for (var target = 0; target < count; target++)
                    _table[((long)target * Queries) + query] = cost[((long)query * Targets) + target];
            }
            new Span<float>(_rowPotential, Targets + 1).Clear();
            new Span<float>(_columnPotential, Queries + 1).Clear();
            new Span<int>(_rowOf, Queries + 1).Clear();
            for (var row = 1; row <= count; row++)
                AssignOne(row);

            var assignment = new Span<long>(Assignment + ((long)item * Targets), Targets);
            assignment.Fill(-1);
            for (var column = 1; column <= Queries; column++)
            {
                if (_rowOf[column] > 0)
                    assignment[_rowOf[column] - 1] = column - 1;
            }
        }

        private readonly void AssignOne(int row)
        {
            _rowOf[0] = row;
            new Span<float>(_distance, Queries + 1).Fill(float.PositiveInfinity);
            new Span<int>(_before, Queries + 1).Clear();
            new Span<bool>(_isReached, Queries + 1).Clear();
            var column = 0;
            while (_rowOf[column] > 0)
                column = ExtendPath(column);
            while (column > 0)
            {
                var previous = _before[column];
                _rowOf[column] = _rowOf[previous];
                column = previous;
            }
        }

        // Takes the nearest column that the path has not reached; returns it.
        private readonly int ExtendPath(int column)
        {
            _isReached[column] = true;
            var row = _rowOf[column];
            var costs = _table + ((row - 1L) * Queries) - 1;
            var potential = _rowPotential[row];
            var (nearest, step) = (0, float.PositiveInfinity);
            for (var i = 1; i <= Queries; i++)
            {
                if (_isReached[i])
                    continue;
                var reduced = costs[i] - potential - _columnPotential[i];
                if (reduced < _distance[i])
                    (_distance[i], _before[i]) = (reduced, column);
                if (_distance[i] < step)
                    (nearest, step) = (i, _distance[i]);
            }
            if (nearest == 0)
                throw new KernelException("a target has no query at a finite cost");
            for (var i = 0; i <= Queries; i++)
            {
                if (_isReached[i])
                {
                    _rowPotential[_rowOf[i]] += step;
                    _columnPotential[i] -= step;
                }
                else
                {
                    _distance[i] -= step;
                }
            }
            return nearest;
        }
    }
}
