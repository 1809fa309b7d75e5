using System.Numerics;

namespace Microsoft.ML.Attention.Onnx.Kernels.Cpu;

/// <summary>
/// Linear assignment, an item of the batch at a time: for each target the shortest augmenting path, found with potentials as in the
/// operator's definition. The potentials change once a path rather than once a step; what is left of a step is one vectorised pass over
/// the queries.
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
        private const int Free = -1;

        public float* Cost;
        public long* Count;
        public long* Assignment;
        public int Queries;
        public int Targets;

        // Queries, rounded up to whole vectors; those added cost more than any other.
        private int _width;
        private float* _table;
        private float* _targetPotential;
        private float* _queryPotential;
        private float* _distance;
        // 0 for queries that the path has not reached, infinity for the others.
        private float* _barrier;
        private int* _before;
        private int* _targetOf;
        private int* _queryOf;

        public void Run(int index)
        {
            var work = this;
            work._width = (Queries + Vector<float>.Count - 1) / Vector<float>.Count * Vector<float>.Count;
            work.Lay(ThreadScratch.Get(work.Lay(null)));
            work.Assign(index);
        }

        private long Lay(void* memory)
        {
            var partition = new Partition(memory);
            _table = partition.Take<float>((long)Targets * _width);
            _targetPotential = partition.Take<float>(Targets);
            _queryPotential = partition.Take<float>(_width);
            _distance = partition.Take<float>(_width);
            _barrier = partition.Take<float>(_width);
            _before = partition.Take<int>(_width);
            _targetOf = partition.Take<int>(_width);
            _queryOf = partition.Take<int>(Targets);
            return partition.Bytes;
        }

        private readonly void Assign(int item)
        {
            var count = (int)Count[item];
            var cost = Cost + ((long)item * Queries * Targets);
            for (var target = 0; target < count; target++)
            {
                var row = new Span<float>(_table + ((long)target * _width), _width);
                for (var query = 0; query < Queries; query++)
                    row[query] = cost[((long)query * Targets) + target];
                row[Queries..].Fill(float.PositiveInfinity);
            }
            new Span<float>(_targetPotential, Targets).Clear();
            new Span<float>(_queryPotential, _width).Clear();
            new Span<int>(_targetOf, _width).Fill(Free);
            for (var target = 0; target < count; target++)
                AssignOne(target);

            for (var target = 0; target < Targets; target++)
                Assignment[((long)item * Targets) + target] = target < count ? _queryOf[target] : -1;
        }

        private readonly void AssignOne(int start)
        {
            new Span<float>(_distance, _width).Fill(float.PositiveInfinity);
            new Span<float>(_barrier, _width).Clear();
            var (target, length) = (start, 0f);
            int query;
            while (true)
            {
                query = NearestQuery(target, length);
                length = _distance[query];
                if (!float.IsFinite(length))
                    throw new KernelException("a target has no query at a finite cost");
                _barrier[query] = float.PositiveInfinity;
                if (_targetOf[query] == Free)
                    break;
                target = _targetOf[query];
            }

            _targetPotential[start] += length;
            for (var i = 0; i < Queries; i++)
            {
                if (_barrier[i] > 0 && i != query)
                {
                    _targetPotential[_targetOf[i]] += length - _distance[i];
                    _queryPotential[i] -= length - _distance[i];
                }
            }
            do
            {
                target = _before[query];
                _targetOf[query] = target;
                (query, _queryOf[target]) = (_queryOf[target], query);
            }
            while (target != start);
        }

        // Goes on from a target at the end of a path of the given length; returns the nearest query that no path has reached, the first
        // of those as near.
        private readonly int NearestQuery(int target, float length)
        {
            var row = _table + ((long)target * _width);
            var offset = new Vector<float>(length - _targetPotential[target]);
            var mark = new Vector<int>(target);
            var (least, leastIndex) = (new Vector<float>(float.PositiveInfinity), Vector<int>.Zero);
            var index = Vector<int>.Indices;
            for (var i = 0; i < _width; i += Vector<float>.Count)
            {
                var barrier = Vector.Load(_barrier + i);
                var distance = Vector.Load(_distance + i);
                var reduced = Vector.Load(row + i) - Vector.Load(_queryPotential + i) + offset + barrier;
                var isNearer = Vector.LessThan(reduced, distance);
                distance = Vector.ConditionalSelect(isNearer, reduced, distance);
                distance.Store(_distance + i);
                Vector.ConditionalSelect(isNearer, mark, Vector.Load(_before + i)).Store(_before + i);
                var candidate = distance + barrier;
                var isLess = Vector.LessThan(candidate, least);
                least = Vector.ConditionalSelect(isLess, candidate, least);
                leastIndex = Vector.ConditionalSelect(isLess, index, leastIndex);
                index += new Vector<int>(Vector<int>.Count);
            }
            var (nearest, shortest) = (leastIndex[0], least[0]);
            for (var lane = 1; lane < Vector<float>.Count; lane++)
            {
                if (least[lane] < shortest || (least[lane] == shortest && leastIndex[lane] < nearest))
                    (nearest, shortest) = (leastIndex[lane], least[lane]);
            }
            return nearest;
        }
    }
}
